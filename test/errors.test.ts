import { readFileSync } from 'node:fs'
import createError from '@fastify/error'
import { test } from 'tap'
import { Unauthenticated } from '../lib/errors.ts'
import { isTokenError } from '../lib/index.ts'

const source = readFileSync('lib/errors.ts', 'utf8')

test('TokenErrorCode is the code of every error that there is, and nothing else', async (t) => {
  const [union = ''] = /(?<=export type TokenErrorCode =\n)(?: {2}\| .*\n)+/.exec(source) ?? []
  const made = [...source.matchAll(/createError<.*>\('(\w+)'/g)].map(([, code]) => code)
  t.ok(made.length > 20, `${made.length} errors`)
  t.equal(made.length, source.match(/createError</g)?.length, 'each of them is seen')
  t.strictSame([...union.matchAll(/'(\w+)'/g)].map(([, code]) => code), made)
})

test('isTokenError knows the errors of the plugin, one of them, and no others', async (t) => {
  const error = new Unauthenticated()
  t.equal(isTokenError(error), true)
  t.equal(isTokenError(error, 'FST_TOKEN_UNAUTHENTICATED'), true)
  t.equal(isTokenError(error, 'FST_TOKEN_LOGIN_REQUIRED'), false)
  const Other = createError('FST_ERR_CTP_EMPTY_JSON_BODY', 'not ours')
  for (const other of [new Other(), new Error('FST_TOKEN_UNAUTHENTICATED'), { code: 'FST_TOKEN_UNAUTHENTICATED' }, Object.assign(new Error('x'), { code: 5 }), undefined, null, 'FST_TOKEN_']) {
    t.equal(isTokenError(other), false, String(other))
  }
})
