import { Agent, Client, DecoratorHandler, type Dispatcher, Pool, request } from 'undici'
import { hasCode, InvalidOptions } from '../errors.ts'
import { isDispatcher } from '../options/check.ts'
import type { Options } from '../options/schema.ts'
import { CertificateAgent } from './certificate-agent.ts'
import { checkDispatcher } from './check-dispatcher.ts'
import type { ClientAuthentication } from './client-authentication.ts'
import { decoded } from './content-coding.ts'

/** No honest answer of a token service is larger, once it is decoded. */
const MAX_ANSWER_BYTES = 1_048_576

/** Of a pool to one origin, unless its options say otherwise. */
const CONNECTIONS = 10

/** Time-outs of the single steps, in milliseconds as undici wants them; the deadline of the whole is `requestTimeout`. */
const TIMEOUTS = { connectTimeout: 5_000, headersTimeout: 10_000, bodyTimeout: 10_000 }

/** The request failed before there was an answer. */
export class BackchannelError extends Error {
  override name = 'BackchannelError'
  /** Whether the request was on its way: then the service may have worked on it. */
  readonly sent: boolean
  /** Whether it says something of the way to the service, and not of the app's own functions. */
  readonly isOfNetwork: boolean

  constructor (message: string, sent: boolean, cause: unknown, isOfNetwork = true) {
    super(message, { cause })
    this.sent = sent
    this.isOfNetwork = isOfNetwork
  }
}

/** What oauth4webapi asks a `fetch` for. */
export interface BackchannelRequest {
  readonly method: 'GET' | 'POST'
  readonly headers: Record<string, string>
  readonly body?: URLSearchParams | Uint8Array | string | null
  /** The deadline, where the call shares it with others. */
  readonly signal?: AbortSignal | null | undefined
  /** Called when it leaves, after it has waited for a connection. */
  readonly onSent?: () => void
}

/**
 * The app's own dispatcher; or a pool to the token service, with time-outs of its own unless the options say otherwise, and
 * with the client's certificate where that authenticates it.
 *
 * @throws FST_TOKEN_INVALID_OPTIONS for what undici does not take, a dispatcher of an undici before 7, and a certificate that nobody would present.
 */
export function createBackchannel (options: Options['backchannel'], mutualTls: ClientAuthentication['mutualTls']): Dispatcher {
  const certificate = mutualTls?.certificate
  if (isDispatcher(options)) {
    checkDispatcher(options)
    if (certificate === undefined) return options
    throw new InvalidOptions('the certificate of tlsClientAuth cannot be given to the app\'s own backchannel: let that present it, and call tlsClientAuth() without one')
  }
  if (mutualTls && !certificate && options === undefined) throw new InvalidOptions('tlsClientAuth needs { cert, key }, or a backchannel of the app that presents them')
  const merged = { connections: CONNECTIONS, ...TIMEOUTS, ...options }
  try {
    // An Agent hands these on to pools, and those to clients, when it is first asked: so they are tried.
    if ((merged.pipelining ?? 1) < 0) throw new Error('invalid pipelining')
    for (const Taker of [Pool, Client]) new Taker('http://127.0.0.1', merged).destroy().catch(() => {})
    return certificate === undefined ? new Agent(merged) : new CertificateAgent(certificate, merged)
  } catch (error) {
    if (hasCode(error)) throw error
    throw new InvalidOptions(`backchannel is not what an undici Agent takes: ${error instanceof Error ? error.message : 'unknown'}`, { cause: error })
  }
}

/** How many requests to one origin are under way at most; of an app's own dispatcher nobody can tell, so it is taken for one of ours. */
export function connectionsOf (options: Options['backchannel']): number {
  return isDispatcher(options) ? CONNECTIONS : options?.connections ?? CONNECTIONS
}

/**
 * One call to the token service: pooled, with a deadline for all of it, no redirects followed, and an answer of at most
 * 1 MiB. The body is read and decoded before anybody judges the answer, so that nothing depends on a connection any more.
 *
 * @throws BackchannelError where no whole answer came.
 */
export async function callBackchannel (dispatcher: Dispatcher, timeout: number, url: string, { method, headers, body, signal, onSent }: BackchannelRequest): Promise<Response> {
  let sent = false
  try {
    const answer = await request(url, {
      dispatcher: watchStart(dispatcher, () => { sent = true; onSent?.() }),
      method,
      headers,
      body: body instanceof URLSearchParams ? body.toString() : body ?? null,
      // Never AbortSignal.any: in Node.js 20 the garbage collector takes the time-outs of its parts away.
      signal: signal ?? AbortSignal.timeout(Math.ceil(timeout * 1000))
    })
    const content = await decoded(await readAtMost(answer.body), MAX_ANSWER_BYTES, answer.headers['content-encoding'])
    return new Response(content.length > 0 ? content : null, { status: answer.statusCode, headers: flatten(answer.headers) })
  } catch (error) {
    throw new BackchannelError(`No answer from ${new URL(url).origin}: ${reasonOf(error, timeout)}`, sent, withoutAnswer(error))
  }
}

/** Tells when the request leaves on an open connection: failures before that (refused, DNS, TLS, connect time-out) have spent nothing. */
function watchStart (dispatcher: Dispatcher, started: () => void): Dispatcher {
  return dispatcher.compose((dispatch) => (options, handler) => {
    const watched: Dispatcher.DispatchHandler = new DecoratorHandler(handler)
    const forward = watched.onRequestStart?.bind(watched)
    watched.onRequestStart = (controller, context) => {
      started()
      forward?.(controller, context)
    }
    return dispatch(options, watched)
  })
}

async function readAtMost (body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > MAX_ANSWER_BYTES) throw new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function flatten (headers: Record<string, string | string[] | undefined>): Headers {
  const flat = new Headers()
  for (const [name, value] of Object.entries(headers)) {
    for (const one of [value ?? []].flat()) flat.append(name, one)
  }
  return flat
}

/** undici's errors may hold what it could not read of an answer, tokens included: only what has happened goes on. */
function withoutAnswer (error: unknown): Error {
  if (!(error instanceof Error)) return new Error('unknown')
  return Object.assign(new Error(error.message), { name: error.name, code: 'code' in error ? error.code : undefined })
}

function reasonOf (error: unknown, timeout: number): string {
  if (!(error instanceof Error)) return 'unknown'
  if (error.name === 'TimeoutError') return `not within ${timeout} s`
  return 'code' in error ? String(error.code) : error.message
}
