import { test } from 'tap'
import { SuccessorSeal } from '../../lib/redis/successor-seal.ts'

const log = { info () {}, warn () {}, error () {}, debug () {}, fatal () {}, trace () {}, silent () {}, level: 'silent', child: () => log }
const settings = (...keys: string[]) => ({
  issuer: 'https://idp.example.com', clientId: 'web', keys: keys.map((key) => Buffer.alloc(32, key)), clock: () => 0, inactivityDuration: 1, gracePeriod: 1, log
})

test('a successor opens with the secret that was spent for it and one of the keys, and with nothing else', async (t) => {
  const content = Buffer.from('a successor')
  const sealed = await new SuccessorSeal(settings('a')).seal('spent', content)
  t.strictSame(await new SuccessorSeal(settings('a')).open('spent', sealed), content)
  t.strictSame(await new SuccessorSeal(settings('b', 'a')).open('spent', sealed), content)
  t.equal(await new SuccessorSeal(settings('a')).open('another', sealed), undefined)
  t.equal(await new SuccessorSeal(settings('b', 'c')).open('spent', sealed), undefined)
})
