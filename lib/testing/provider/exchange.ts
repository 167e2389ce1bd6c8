import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { TLSSocket } from 'node:tls'
import { send, type Answer } from './answer.ts'
import { authorizationEndpoint } from './authorization-endpoint.ts'
import { certificateOf } from './client-certificate.ts'
import { endSessionEndpoint } from './end-session-endpoint.ts'
import { endpointAt, metadata } from './metadata.ts'
import { OAuthError } from './oauth-error.ts'
import { pushedAuthorizationEndpoint } from './pushed-authorization-endpoint.ts'
import type { Realm } from './realm.ts'
import type { Endpoint, RequestRecord } from './request-log.ts'
import { revocationEndpoint } from './revocation-endpoint.ts'
import type { Stations } from './stations.ts'
import { tokenEndpoint } from './token-endpoint.ts'
import { userinfoEndpoint } from './userinfo-endpoint.ts'

type Handler = (realm: Realm, record: RequestRecord) => Answer | Promise<Answer>

const handlers: Record<Endpoint, Handler> = {
  metadata: (realm) => ({ status: 200, headers: {}, body: metadata(realm) }),
  jwks: ({ signer }) => ({ status: 200, headers: {}, body: signer.jwks }),
  authorization: authorizationEndpoint,
  pushedAuthorization: pushedAuthorizationEndpoint,
  token: tokenEndpoint,
  probe: () => ({ status: 405, headers: { allow: 'POST' }, body: { error: 'invalid_request', error_description: 'POST only' } }),
  revocation: revocationEndpoint,
  endSession: endSessionEndpoint,
  userinfo: userinfoEndpoint,
  unknown: () => ({ status: 404, headers: {}, body: 'not found' })
}

/** One request: recorded, held, processed, spoiled, held again, answered. */
export async function exchange ({ realm, log, gates, faults, closing }: Stations, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const record = await recordOf(realm, request)
  log.add(record)
  await gates.pass(record.endpoint, 'requests')
  const { instead, alter, deliver = send } = faults.next(record)
  const outcome = instead ? instead() : await processed(realm, record)
  const answer = alter ? await alter(outcome, realm.signer) : outcome
  await gates.pass(record.endpoint, 'answers')
  if (realm.settings.latency > 0 && (record.endpoint === 'token' || record.endpoint === 'probe')) await delay(realm.settings.latency * 1000, undefined, { signal: closing.signal })
  record.status = answer.status
  if (typeof answer.body !== 'string' && 'error' in answer.body) record.error = String(answer.body.error)
  if (!response.destroyed) deliver(response, answer)
}

async function recordOf (realm: Realm, request: IncomingMessage): Promise<RequestRecord> {
  const at = realm.settings.clock()
  const url = new URL(request.url ?? '/', request.socket instanceof TLSSocket ? realm.mtlsOrigin : realm.issuer)
  const endpoint = endpointAt(url.pathname, realm.settings.metadataPaths)
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  const body = Buffer.concat(chunks).toString()
  const params = Object.fromEntries(request.method === 'POST' ? new URLSearchParams(body) : url.searchParams)
  return {
    at,
    endpoint: endpoint === 'token' && request.method === 'GET' ? 'probe' : endpoint,
    method: request.method ?? '',
    url,
    headers: request.headers,
    body,
    params,
    certificate: certificateOf(request.socket),
    grant: params.grant_type
  }
}

async function processed (realm: Realm, record: RequestRecord): Promise<Answer> {
  try {
    return withNonce(realm, record, await handlers[record.endpoint](realm, record))
  } catch (error) {
    if (!(error instanceof OAuthError)) throw error
    return withNonce(realm, record, error.toAnswer())
  }
}

function withNonce ({ proofs }: Realm, record: RequestRecord, answer: Answer): Answer {
  return { ...answer, headers: { ...proofs.nonceHeader(record), ...answer.headers } }
}
