import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { transform } from 'esbuild'

/** A module of TypeScript, its types taken out: not in one long line, as tsx does it, on which coverage cannot be counted. */
export async function load (url, context, next) {
  if (!/^file:.*\.ts$/.test(url) || url.includes('/node_modules/')) return await next(url, context)
  const path = fileURLToPath(url)
  const { code } = await transform(await readFile(path, 'utf8'), { loader: 'ts', target: 'es2023', sourcefile: path, sourcemap: 'inline' })
  return { format: 'module', source: code, shortCircuit: true }
}
