import type { ClientAuth } from 'oauth4webapi'
import { HookFailed } from '../errors.ts'
import { callHook, extraParameters, RESERVED, RESERVED_HEADERS } from '../tokens/extra-parameters.ts'
import type { Options } from '../options/schema.ts'
import { type OutgoingRequest, outgoingRequest } from '../tokens/outgoing-request.ts'
import type { ClientAuthentication } from './client-authentication.ts'

/** What the app adds to requests to its provider. */
export type Preparation = Pick<Options, 'parameters' | 'headers' | 'tokenRequest'>

/**
 * Client authentication with what the app adds to the request before it: the parameters and headers of the options, and
 * what the hook `tokenRequest` makes of them. That comes before, so that no secret of the client is in what the hook sees.
 */
export function preparedAuthentication (authentication: ClientAuthentication, preparation: Preparation): ClientAuthentication {
  const prepared: ClientAuth = async (server, client, body, headers) => {
    await prepare(outgoingRequest(server, client, body), body, headers, preparation)
    await authentication(server, client, body, headers)
  }
  return Object.assign(prepared, { ...authentication })
}

async function prepare (request: OutgoingRequest, body: URLSearchParams, headers: Headers, { parameters = {}, headers: given = {}, tokenRequest }: Preparation): Promise<void> {
  const kind = kindOf(request, body)
  const extra = kind === undefined ? [] : await extraParameters(`parameters.${kind}`, parameters[kind], request, RESERVED)
  // What this very request asks for goes before what all of its kind do.
  const open = new URLSearchParams([...body, ...extra.filter(([name]) => !body.has(name))].filter(([name]) => !RESERVED.has(name)))
  const own = new Headers(given)
  if (tokenRequest !== undefined) {
    await callHook('tokenRequest', () => tokenRequest({ ...request, parameters: open, headers: own }))
    const reserved = [...open.keys()].find((name) => RESERVED.has(name)) ?? [...own.keys()].find((name) => RESERVED_HEADERS.has(name))
    if (reserved !== undefined) throw new HookFailed(`tokenRequest sets ${reserved}, which is set by this plugin itself`)
  }
  for (const name of new Set(body.keys())) if (!RESERVED.has(name)) body.delete(name)
  for (const [name, value] of open) body.append(name, value)
  for (const [name, value] of own) headers.set(name, value)
}

function kindOf ({ grant }: OutgoingRequest, body: URLSearchParams) {
  switch (grant) {
    case 'authorization_code': return 'code'
    case 'refresh_token': return 'refresh'
    case 'urn:ietf:params:oauth:grant-type:token-exchange': return 'exchange'
    default: return body.has('token') ? 'revocation' : undefined
  }
}
