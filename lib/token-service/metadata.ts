import type { FastifyBaseLogger } from 'fastify'
import * as oauth from 'oauth4webapi'
import { DiscoveryFailed } from '../errors.ts'
import { insecureEndpoint } from '../options/secure-url.ts'
import type { BackchannelRequest } from './backchannel.ts'

/** Metadata is asked for again after so many seconds, when it is next needed. */
const MAX_AGE = 3600

type Fetch = (url: string, request: BackchannelRequest) => Promise<Response>

/** The metadata of the authorization server, as last known (RFC 8414 §2). */
export type Metadata = () => oauth.AuthorizationServer

/**
 * Discovers the metadata: OpenID Connect Discovery, or RFC 8414 where the issuer has only that. Later it is asked for
 * again beside the requests that need it: none waits for it, and a failure keeps the old document.
 *
 * @throws FST_TOKEN_DISCOVERY_FAILED with the issuer and the cause.
 */
export async function discoverMetadata (issuer: string, fetch: Fetch, clock: () => number, log: FastifyBaseLogger): Promise<Metadata> {
  let current = await discover(issuer, fetch)
  let askedAt = clock()
  return () => {
    if (clock() >= askedAt + MAX_AGE) {
      askedAt = clock()
      discover(issuer, fetch).then(
        (document) => { current = document },
        (error: unknown) => { log.warn({ err: error }, 'The metadata could not be discovered again; the old document stays in use') }
      )
    }
    return current
  }
}

async function discover (issuer: string, fetch: Fetch): Promise<oauth.AuthorizationServer> {
  const url = new URL(issuer)
  try {
    const oidc = await oauth.discoveryRequest(url, { ...over(fetch), algorithm: 'oidc' })
    const response = oidc.status === 404 ? await oauth.discoveryRequest(url, { ...over(fetch), algorithm: 'oauth2' }) : oidc
    const document = await oauth.processDiscoveryResponse(url, response)
    checkDocument(document, issuer)
    return document
  } catch (error) {
    throw new DiscoveryFailed(issuer, error instanceof Error ? error.message : 'unknown', { cause: error })
  }
}

/** oauth4webapi compares issuers as URLs, and to the character where id_tokens are checked: so a slash too many is told here. */
function checkDocument (document: oauth.AuthorizationServer, issuer: string): void {
  if (document.issuer !== issuer) throw new Error(`the document names the issuer ${document.issuer}; give that as the option issuer if it is the right one`)
  if (document.token_endpoint === undefined) throw new Error('the document has no token_endpoint')
  const insecure = insecureEndpoint(document)
  if (insecure !== undefined) throw new Error(`${insecure} is not an https URL`)
}

/** All traffic goes over the app's own backchannel. Plain http was judged before: only loopback passes `insecureEndpoint`. */
export function over (fetch: Fetch) {
  return { [oauth.customFetch]: fetch, [oauth.allowInsecureRequests]: true }
}
