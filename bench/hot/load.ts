import autocannon from 'autocannon'
import type { Served } from './served.ts'

/** What one round has seen of one system. */
export interface Measure {
  readonly requestsPerSecond: number
  /** Microseconds of the server's core for each request. */
  readonly cpu: number
  /** Milliseconds within which 99 of 100 were answered. */
  readonly p99: number
}

/** How long, or how many requests. */
export type Extent = { readonly duration: number } | { readonly amount: number }

const connections = 10

/** One round: `GET /token` as fast as it goes, with this cookie, or each time the next of those. All have to be answered with 200. */
export async function load (server: Served, cookie: string | (() => string), extent: Extent): Promise<Measure> {
  const times: number[] = []
  const before = await server.cpu()
  // By the last answer: autocannon itself comes to an end only at its next full second.
  let start = NaN
  let end = NaN
  const { non2xx, errors, timeouts } = await new Promise<autocannon.Result>((resolve, reject) => {
    const instance = autocannon({
      url: `${server.origin}/token`,
      connections,
      ...extent,
      ...(typeof cookie === 'string'
        ? { headers: { cookie } }
        : { requests: [{ setupRequest: (request) => ({ ...request, headers: { ...request.headers, cookie: cookie() } }) }] })
    }, (error, result) => error ? reject(error) : resolve(result))
    instance.on('start', () => { start = performance.now() })
    instance.on('response', (_client, _status, _bytes, time) => {
      times.push(time)
      end = performance.now()
    })
  })
  if (non2xx + errors + timeouts > 0) throw new Error(`${server.name}: ${non2xx} answers were no success, ${errors} requests failed, ${timeouts} took too long`)
  return {
    requestsPerSecond: times.length * 1000 / (end - start),
    cpu: (await server.cpu() - before) / times.length,
    p99: times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? NaN
  }
}
