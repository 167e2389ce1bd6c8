import { readFileSync } from 'node:fs'
import cookie from '@fastify/cookie'
import { PGlite } from '@electric-sql/pglite'
import { test } from 'tap'
import { schema, SqlTokenStore } from '../../examples/sql-token-store/sql-token-store.ts'
import { tokenStoreConformance } from '../../lib/testing.ts'
import { rules } from '../../lib/testing/rules.ts'
import { sessionKey } from '../support/start-app.ts'
import { logIn, startLoginApp } from '../support/login-flow.ts'
import { assertNoSecrets } from '../support/scenario.ts'

const database = await PGlite.create()
await database.exec(schema)
const store = new SqlTokenStore(database, Buffer.alloc(32, 'd'))

async function rows (): Promise<Array<Record<string, unknown>>> {
  return (await database.query<Record<string, unknown>>('select *, extract(epoch from expires_at - now()) as lasts from token_sessions')).rows
}

test('the page on stores shows the example as it is', async (t) => {
  const page = readFileSync('docs/custom-store.md', 'utf8')
  t.ok(page.includes(`\`\`\`ts\n${readFileSync('examples/sql-token-store/sql-token-store.ts', 'utf8')}\`\`\``), 'docs/custom-store.md: copy examples/sql-token-store/sql-token-store.ts into it')
  for (const { name } of rules) t.ok(page.includes(`| ${name} |`), name)
})

test('an app with its sessions in a table: a login, a refresh, a logout, and no secret in a row', async (t) => {
  const { server, browser, clock } = await startLoginApp(t, {
    session: { key: sessionKey },
    server: { expiresIn: 60 },
    before: async (app) => {
      await app.register(cookie)
      app.decorate('tokenStore', store)
    }
  })
  await logIn(browser)
  t.strictSame([...browser.cookies.keys()], ['__Host-default-sid'])
  t.equal(server.whoHas(String((await browser.get('/token')).json.token))?.sub, 'alice')
  clock.now += 61
  t.equal((await browser.get('/token')).status, 200)
  const [row, ...others] = await rows()
  t.match(row, { provider: 'default', generation: 1 })
  t.strictSame(others, [])
  assertNoSecrets(t, server, [JSON.stringify(row), String(row?.tokens)])
  t.notMatch(Buffer.from(row?.id as Uint8Array).toString('latin1'), browser.cookies.get('__Host-default-sid') ?? '', 'nor a cookie')
  t.equal((await browser.post('/auth/logout')).status, 200)
  t.strictSame(await rows(), [])
  t.strictSame([...browser.cookies.keys()], ['logout'], 'which leads to the provider, for a minute')
})

test('use puts the end of a session off, once in half of the time and never beyond its end; what is over is swept up', async (t) => {
  const { browser } = await startLoginApp(t, {
    session: { key: sessionKey },
    before: async (app) => {
      await app.register(cookie)
      app.decorate('tokenStore', store)
    }
  })
  await logIn(browser)
  const last = async (expires: string, ends = '7 days') => {
    await database.query(`update token_sessions set expires_at = now() + interval '${expires}', ends_at = now() + interval '${ends}'`)
    const { status } = await browser.get('/token')
    const [row] = await rows()
    return [status, Math.round(Number(row?.lasts) / 3600)]
  }
  t.strictSame(await last('13 hours'), [200, 13])
  t.strictSame(await last('11 hours'), [200, 24])
  t.strictSame(await last('2 hours', '3 hours'), [200, 3])
  await store.deleteExpired()
  t.equal((await rows()).length, 1)
  t.strictSame(await last('-1 seconds'), [401, 0])
  await store.deleteExpired()
  t.strictSame(await rows(), [])
})

test('the example conforms', async (t) => {
  await tokenStoreConformance(t, async (app) => {
    await app.register(cookie)
    return store
  }, { breakDown: () => database.close() })
})
