import { auth0ServerJs } from '../subjects/auth0-server-js.ts'
import { bareFastify } from '../subjects/bare-fastify.ts'
import { expressOpenidConnect } from '../subjects/express-openid-connect.ts'
import { ironSession } from '../subjects/iron-session.ts'
import { fastifySecureSession } from '../subjects/secure-session.ts'
import { thisPluginFrom, thisPluginOnRedis } from '../subjects/this-plugin.ts'
import type { Issuer, RunningSubject, SavedSubject, SavedTokens, Subject } from '../subject.ts'

/** As it is installed: what tsx makes of lib names each of its functions anew at each call. */
const { default: builtPlugin } = await import('../../dist/lib/index.js')
const builtStores = await import('../../dist/lib/redis.js')

export const plugin = thisPluginFrom(builtPlugin)

/** The systems, in the order of the table. */
export const subjects: ReadonlyArray<Subject | SavedSubject> = [bareFastify, plugin, thisPluginOnRedis(builtPlugin, builtStores), fastifySecureSession, auth0ServerJs, expressOpenidConnect, ironSession]

/** What a server process needs to know. */
export interface Start extends Issuer {
  readonly name: string
  readonly tokens: SavedTokens
}

export function hasLogin (subject: Subject | SavedSubject): subject is Subject {
  return 'loginPath' in subject
}

export async function startSubject ({ name, tokens, ...issuer }: Start): Promise<RunningSubject> {
  const subject = subjects.find((each) => each.name === name)
  if (subject === undefined) throw new Error(`There is no subject ${name}`)
  return hasLogin(subject) ? await subject.start(issuer) : await subject.start(tokens)
}
