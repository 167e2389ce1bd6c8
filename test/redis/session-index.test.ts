import t from 'tap'
import { RedisLink } from '../../lib/redis/link.ts'
import { type IndexedSession, SessionIndex } from '../../lib/redis/session-index.ts'
import { disguises, dumpOf } from '../support/disguises.ts'
import { connect, startRedis, whyNotRedis } from '../support/redis-server.ts'

const log = { info () {}, warn () {}, error () {}, debug () {}, fatal () {}, trace () {}, silent () {}, level: 'silent', child: () => log }

t.test('the index of sessions', { skip: whyNotRedis() }, async (t) => {
  const server = await startRedis(t)
  const redis = connect(t, server)
  const link = new RedisLink({ redis, timeout: 2, log, isGoneWhenRefusing: false, saying: { lost: '', back: '' } })
  t.teardown(() => { link.close() })
  const now = Math.floor(Date.now() / 1000)
  const clock = { now }
  t.beforeEach(async () => {
    clock.now = now
    await redis.flushall()
  })

  /** @param keys - the first bytes of the keys of `session.key`. */
  const indexOf = (keys = 'k', clientId = 'web') => new SessionIndex({ issuer: 'https://idp.example.com', clientId, keys: [...keys].map((key) => Buffer.alloc(32, key)), clock: () => clock.now }, link)
  const sessionOf = (sessionId: string, about: Partial<IndexedSession> = {}): IndexedSession => ({ sessionId, sub: 'alice', endsAt: now + 100, ...about })
  const idsOf = (sessions: readonly IndexedSession[]) => sessions.map(({ sessionId }) => sessionId).toSorted()

  t.test('a session is found by its id, its user and its session at the provider, with all that was kept of it, and by nothing else', async (t) => {
    const index = indexOf()
    const one = sessionOf('one', { sid: 'at the provider', issuedAt: now - 1, content: Buffer.from([0, 255, 10]) })
    const other = sessionOf('other', { sid: 'elsewhere' })
    await Promise.all([one, other, sessionOf('of bob', { sub: 'bob' })].map((session) => index.add(session)))
    t.strictSame(await index.find({ sessionId: 'one' }), [one])
    t.strictSame(await index.find({ sid: 'at the provider' }), [one])
    t.strictSame(idsOf(await index.find({ sub: 'alice' })), ['one', 'other'])
    for (const query of [{ sub: 'one' }, { sid: 'alice' }, { sessionId: 'alice' }, { sub: 'Alice' }, { sub: '' }]) t.strictSame(await index.find(query), [])
    t.strictSame(await indexOf('k', 'another client').find({ sub: 'alice' }), [])
    t.strictSame(await indexOf('x').find({ sub: 'alice' }), [])
  })

  t.test('a session that nobody has a name for is found by its id; what is removed, by nothing', async (t) => {
    const index = indexOf()
    const nobodys = { sessionId: 'nobody\'s', endsAt: now + 100 }
    await index.add(nobodys)
    t.strictSame(await index.find({ sessionId: nobodys.sessionId }), [nobodys])
    await index.add(sessionOf('one', { sid: 'sid' }))
    await index.add(sessionOf('other'))
    await index.remove('one')
    await index.remove('nobody\'s')
    await index.remove('never there')
    t.strictSame([await index.find({ sessionId: 'one' }), await index.find({ sid: 'sid' }), await index.find({ sessionId: 'nobody\'s' })], [[], [], []])
    t.strictSame(idsOf(await index.find({ sub: 'alice' })), ['other'])
    await index.remove('other')
    t.strictSame(await redis.keys('*'), [])
  })

  t.test('what is over is not found, goes when the next session of its user comes, and with the last of them', async (t) => {
    const index = indexOf()
    await index.add(sessionOf('short', { endsAt: now + 10 }))
    await index.add(sessionOf('long', { endsAt: now + 5000 }))
    clock.now += 10
    t.strictSame(idsOf(await index.find({ sub: 'alice' })), ['long'])
    const [entries = ''] = (await redis.keys('*:index')).toSorted()
    const sizes = async () => (await Promise.all((await redis.keys('*:index')).map((key) => redis.hlen(key)))).toSorted()
    t.strictSame(await sizes(), [1, 1, 2])
    await index.add(sessionOf('next', { endsAt: now + 20 }))
    t.strictSame(await sizes(), [1, 1, 1, 2], 'the short one is in its own place alone')
    t.ok(await redis.pttl(entries) > 0)
    const longest = Math.max(...await Promise.all((await redis.keys('*')).map((key) => redis.pttl(key))))
    t.ok(longest > 4_900_000 && longest <= 5_000_000, 'a shorter session does not shorten the time of a longer one')
  })

  t.test('added again, a session is there once, as it is now', async (t) => {
    const index = indexOf()
    await index.add(sessionOf('one', { content: Buffer.from('before') }))
    await index.add(sessionOf('one', { content: Buffer.from('after') }))
    t.strictSame((await index.find({ sub: 'alice' })).map(({ content }) => String(content)), ['after'])
  })

  t.test('of one user a thousand sessions are kept: that which ends first makes room', async (t) => {
    const index = indexOf()
    for (let count = 0; count < 1005; count++) await index.add(sessionOf(`session ${count}`, { endsAt: now + 5000 - count }))
    const found = await index.find({ sub: 'alice' })
    t.equal(found.length, 1000)
    t.notOk(found.some(({ sessionId }) => sessionId === 'session 1003'))
    t.ok(found.some(({ sessionId }) => sessionId === 'session 1004'), 'the newest is there in any case')
  })

  t.test('with another key before it, what an earlier one has named and sealed is found, once, and removed', async (t) => {
    await indexOf('a').add(sessionOf('early'))
    const rotated = indexOf('ba')
    await rotated.add(sessionOf('late'))
    t.strictSame(idsOf(await rotated.find({ sub: 'alice' })), ['early', 'late'])
    await rotated.add(sessionOf('early', { content: Buffer.from('again') }))
    t.strictSame(idsOf(await rotated.find({ sub: 'alice' })), ['early', 'late'])
    t.strictSame((await rotated.find({ sessionId: 'early' })).map(({ content }) => String(content)), ['again'])
    await rotated.remove('early')
    t.strictSame(idsOf(await rotated.find({ sub: 'alice' })), ['late'])
    t.strictSame(await indexOf('a').find({ sub: 'alice' }), [])
  })

  t.test('an entry that is copied under another name opens nothing, and neither does rubbish', async (t) => {
    const index = indexOf()
    await index.add(sessionOf('of alice'))
    const aliceKeys = await redis.keys('*:index')
    await index.add(sessionOf('of bob', { sub: 'bob' }))
    const entries = await Promise.all(aliceKeys.map((key) => redis.hgetallBuffer(key)))
    for (const key of await redis.keys('*:index')) {
      if (aliceKeys.includes(key)) continue
      for (const fields of entries) for (const entry of Object.values(fields)) await redis.hset(key, 'copied', entry)
      await redis.hset(key, 'rubbish', 'rubbish')
    }
    t.strictSame(idsOf(await index.find({ sub: 'bob' })), ['of bob'])
  })

  t.test('a dump holds nothing of a user: not in clear, in base64 or as a plain hash', async (t) => {
    const user = { sessionId: '6c84fb90-12c4-11e1-840d-7b25c5ee775a', sub: 'alice@example.com', sid: '08a5019c-17e1-4977-8f42-65a12843ea02' }
    await indexOf().add({ ...user, endsAt: now + 100, content: Buffer.from('what the store needs') })
    const { keys, text } = await dumpOf(redis)
    t.equal(keys.length, 6)
    t.strictSame([...Object.values(user), 'what the store needs'].flatMap(disguises).filter((secret) => text.includes(secret)), [])
  })

  t.test('what Redis does not answer is thrown', async (t) => {
    const index = indexOf()
    await index.add(sessionOf('one'))
    await server.stop()
    await t.rejects(index.find({ sub: 'alice' }))
    await t.rejects(index.add(sessionOf('two')))
    await t.rejects(index.remove('one'))
  })
})
