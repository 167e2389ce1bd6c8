import secureSession from '@fastify/secure-session'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import tokenManagement from '../lib/index.ts'
import type { TokenResponse } from '../lib/tokens/from-response.ts'
import { tokenShapes } from '../test/support/token-shapes.ts'

/** `npm run bench:sizes`: what sessions of well-known providers take of a cookie, as Markdown for docs/storage.md. */
const key = Buffer.alloc(32, 'k')
const endpoint = 'https://idp.example.com/token'

const plugin = await appOf(async (app) => {
  await app.register(tokenManagement, { metadata: { issuer: 'https://idp.example.com', token_endpoint: endpoint }, clientId: 'web', clientSecret: 'a secret', session: { key, maxCookieBytes: 32_000 } })
  app.get('/id-token', async (request) => ({ kept: (await request.tokens.get())?.idToken !== undefined }))
}, async (request) => { await request.tokens.save(request.body) })
const peer = await appOf(async (app) => {
  await app.register(secureSession, { key, cookie: { path: '/', secure: true, sameSite: 'lax' } })
}, async (request) => { for (const [name, value] of Object.entries(request.body)) request.session.set(name as never, value as never) })

const rows: string[] = []
for (const [name, tokens] of Object.entries(tokenShapes)) {
  const ours = await saved(plugin, tokens)
  const theirs = await saved(peer, tokens)
  const { kept } = (await plugin.inject({ url: '/id-token', headers: { cookie: ours.header } })).json()
  rows.push(`| ${[
    name,
    [tokens.access_token, tokens.id_token, tokens.refresh_token].map((token = '') => token.length).join(' / '),
    `${theirs.header.length}${theirs.header.length > 4096 ? ' (dropped by browsers)' : ''}`,
    ours.header.length,
    ours.count,
    kept ? 'yes' : 'no'
  ].join(' | ')} |`)
}
process.stdout.write([
  '| | access / id / refresh token | @fastify/secure-session alone | this plugin | cookies | id_token kept |',
  '| --- | --- | --- | --- | --- | --- |',
  ...rows,
  '',
  `Characters; ${new Date().toISOString().slice(0, 10)}, Node.js ${process.version}.`,
  ''
].join('\n'))

async function appOf (register: (app: FastifyInstance) => Promise<void>, save: (request: FastifyRequest<{ Body: TokenResponse }>) => Promise<void>): Promise<FastifyInstance> {
  const app = Fastify()
  await register(app)
  app.post<{ Body: TokenResponse }>('/save', save)
  return app
}

/** The Cookie header that a session makes. */
async function saved (app: FastifyInstance, payload: TokenResponse): Promise<{ header: string, count: number }> {
  const { headers } = await app.inject({ method: 'POST', url: '/save', payload })
  const pairs = [headers['set-cookie'] ?? []].flat().map((cookie) => cookie.slice(0, cookie.indexOf(';')))
  return { header: pairs.join('; '), count: pairs.length }
}
