import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Where a page links to within its folder, as it says it. */
export function linksOf (text: string): string[] {
  return [...text.matchAll(/\]\((?!https?:)([^)\s]+)\)/g)].map(([, target = '']) => target)
}

/** Those of a page that lead nowhere: to no file, or to no heading of it. */
export function deadLinks (folder: string, page: string): string[] {
  return linksOf(readFileSync(join(folder, page), 'utf8')).filter((target) => {
    const [file = '', anchor] = target.split('#')
    const path = file === '' ? join(folder, page) : join(folder, dirname(page), file)
    return !existsSync(path) || (anchor !== undefined && !headings(readFileSync(path, 'utf8')).includes(anchor))
  })
}

/** As they are linked to. */
function headings (page: string): string[] {
  return [...page.matchAll(/^#+ (.*)$/gm)].map(([, text = '']) => text.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(' ', '-'))
}
