import Fastify from 'fastify'
import { Redis } from 'ioredis'
import tokenManagement from '../lib/index.ts'
import { redisTokenStore } from '../lib/redis.ts'
import type { TokenResponse } from '../lib/tokens/from-response.ts'
import { startRedis } from '../test/support/redis-server.ts'
import { tokenShapes } from '../test/support/token-shapes.ts'

/** `npm run bench:redis`: what sessions of well-known providers take of Redis, as Markdown for docs/scaling.md. */
const closing: Array<() => unknown> = []
const { url } = await startRedis({ teardown: (close) => closing.push(close) })
const redis = new Redis(url)
const app = Fastify()
await app.register(tokenManagement, {
  metadata: { issuer: 'https://idp.example.com', token_endpoint: 'https://idp.example.com/token' },
  clientId: 'web',
  clientSecret: 'a secret',
  session: { key: Buffer.alloc(32, 'k') },
  tokenStore: redisTokenStore({ redis })
})
app.post<{ Body: TokenResponse }>('/save', async (request) => { await request.tokens.save(request.body) })

async function bytesOf (pattern: string): Promise<number> {
  const sizes = await Promise.all((await redis.keys(pattern)).map(async (key) => Number(await redis.memory('USAGE', key))))
  return sizes.reduce((sum, size) => sum + size, 0)
}

const rows: string[] = []
for (const [name, payload] of Object.entries(tokenShapes)) {
  await redis.flushall()
  await app.inject({ method: 'POST', url: '/save', payload })
  const tokens = [payload.access_token, payload.id_token, payload.refresh_token].map((token = '') => token.length)
  rows.push(`| ${[name, tokens.join(' / '), await bytesOf('tokens:session:*'), await bytesOf('tokens:*:index*')].join(' | ')} |`)
}
process.stdout.write([
  '| | access / id / refresh token | record | index |',
  '| --- | --- | --- | --- |',
  ...rows,
  '',
  `Bytes (\`MEMORY USAGE\`); ${new Date().toISOString().slice(0, 10)}, ${/redis_version:\S+/.exec(await redis.info('server'))?.[0].replace('redis_version:', 'Redis ')}.`,
  ''
].join('\n'))
redis.disconnect()
await app.close()
for (const close of closing) await close()
