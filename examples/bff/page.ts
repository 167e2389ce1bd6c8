import { readdir, readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import type { FastifyInstance } from 'fastify'

const folder = new URL('page/', import.meta.url)
const types: Record<string, string> = { '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript' }

/** Serves the page, which may run no other script than its own. Nothing is refreshed for its files. */
export async function page (app: FastifyInstance, { issuer }: { issuer: string }): Promise<void> {
  // Browsers hold the redirect after a form to `form-action` too, and the logout form is redirected to the provider.
  const headers = pageHeaders(`'self' ${new URL(issuer).origin}`)
  for (const file of await readdir(folder)) {
    const content = await readFile(new URL(file, folder))
    app.get(file === 'index.html' ? '/' : `/${file}`, { config: { tokens: false } }, async (_request, reply) => {
      return reply.headers(headers).type(`${types[extname(file)]}; charset=utf-8`).send(content)
    })
  }
}

/** @param formAction - where forms may lead. */
export function pageHeaders (formAction: string): Record<string, string> {
  const policy = [
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", 'img-src data:',
    `form-action ${formAction}`, "frame-ancestors 'none'", "base-uri 'none'"
  ]
  return { 'content-security-policy': policy.join('; '), 'x-content-type-options': 'nosniff', 'cache-control': 'no-cache' }
}
