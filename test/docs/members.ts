import { readFileSync } from 'node:fs'
import ts from 'typescript'

/** The members of an interface, by name, each as it is written without its comments. */
export function membersOf (file: string, name: string, text = readFileSync(file, 'utf8')): Map<string, string> {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ESNext, true)
  const members = new Map<string, string>()
  const visit = (node: ts.Node): void => {
    if (!ts.isInterfaceDeclaration(node) || node.name.text !== name) return ts.forEachChild(node, visit)
    for (const member of node.members) if (member.name !== undefined) members.set(member.name.getText(), member.getText())
  }
  visit(source)
  return members
}
