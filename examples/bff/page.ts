import { readFile } from 'node:fs/promises'
import type { FastifyInstance } from 'fastify'

const files = [
  { path: '/', file: 'index.html', type: 'text/html; charset=utf-8' },
  { path: '/page.css', file: 'page.css', type: 'text/css; charset=utf-8' },
  { path: '/page.js', file: 'page.js', type: 'text/javascript; charset=utf-8' }
]

/** Serves the page, which may run no other script than its own. */
export async function page (app: FastifyInstance, { issuer }: { issuer: string }): Promise<void> {
  // Browsers hold the redirect after a form to `form-action` too, and the logout form is redirected to the provider.
  const policy = [
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", 'img-src data:',
    `form-action 'self' ${new URL(issuer).origin}`, "frame-ancestors 'none'", "base-uri 'none'"
  ].join('; ')

  for (const { path, file, type } of files) {
    const content = await readFile(new URL(`page/${file}`, import.meta.url))
    app.get(path, async (_request, reply) => {
      return reply
        .header('content-security-policy', policy)
        .header('x-content-type-options', 'nosniff')
        .header('cache-control', 'no-cache')
        .type(type)
        .send(content)
    })
  }
}
