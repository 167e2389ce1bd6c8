import * as oauth from 'oauth4webapi'
import { insecureEndpoint, isEncryptedUrl, isSecureUrl } from '../options/secure-url.ts'
import { withoutEmpty } from '../tokens/record.ts'
import { BackchannelError, type BackchannelRequest } from './backchannel.ts'
import { issuerNamedBy } from './tenants.ts'
import { AnswerError, readAnswer } from './token-response.ts'

export interface DiscoverySettings {
  readonly issuer: string
  readonly allowInsecureRequests: readonly string[]
}

export type Fetch = (url: string, request: BackchannelRequest) => Promise<Response>

/** There is no document that can be used: what each address was answered. */
export class DiscoveryError extends Error {
  override name = 'DiscoveryError'
  /** Whether it may be another time: nothing was answered, or that the provider is busy or down. */
  readonly isPassing: boolean

  constructor (failures: readonly Failure[]) {
    const causes = failures.map(({ error }) => error)
    super(failures.map(messageOf).join('; '), { cause: causes.length > 1 ? new AggregateError(causes) : causes[0] })
    this.isPassing = causes.some(isPassing)
  }
}

interface Failure { readonly address: string, readonly error: unknown }

/**
 * The metadata of an issuer: OpenID Connect Discovery, or RFC 8414 where that brings nothing that can be used.
 *
 * @param isKnown - there is an older document: what passes is then no reason to look for the other one, which may say less.
 * @throws DiscoveryError
 */
export async function discover (settings: DiscoverySettings, fetch: Fetch, isKnown: boolean): Promise<oauth.AuthorizationServer> {
  const failures: Failure[] = []
  for (const algorithm of ['oidc', 'oauth2'] as const) {
    let address = settings.issuer
    try {
      const response = await oauth.discoveryRequest(new URL(settings.issuer), {
        algorithm,
        ...over(async (url, request) => {
          address = url
          return await fetch(url, request)
        })
      })
      return await judged(settings, response)
    } catch (error) {
      failures.push({ address, error })
      // Both addresses are of one host: where that does not answer, it is not asked twice.
      if (error instanceof BackchannelError || (isKnown && isPassing(error))) break
    }
  }
  throw new DiscoveryError(failures)
}

/** The document of an answer. Issuers are compared to the character, as in id_tokens (RFC 8414 §3.3). */
async function judged ({ issuer, allowInsecureRequests }: DiscoverySettings, response: Response): Promise<oauth.AuthorizationServer> {
  const { status, headers } = response
  const body = readAnswer({ status, headers, body: await response.json().catch(() => undefined) }, [])
  if (body === undefined) throw new Error(`status ${status}, and no JSON object`)
  const document = withoutOddLists(withoutEmpty(body))
  const expected = issuerNamedBy(issuer)
  if (document.issuer === undefined) throw new Error('the document names no issuer')
  if (document.issuer !== issuer && document.issuer !== expected) {
    throw new Error(`the document names the issuer ${String(document.issuer)}; give that as the option issuer if it is the right one`)
  }
  if (typeof document.token_endpoint !== 'string') throw new Error('the document has no token_endpoint')
  const metadata = await oauth.processDiscoveryResponse(new URL(document.issuer), Response.json(document))
  const isSecure = issuer.startsWith('https:') ? isEncryptedUrl : isSecureUrl
  const insecure = insecureEndpoint(metadata, (url) => isSecure(url, allowInsecureRequests))
  if (insecure === undefined) return metadata
  throw new Error(`${insecure.path} is not an https URL: ${insecure.url}. Have the provider name its public addresses, or list that origin in allowInsecureRequests`)
}

/** Without what should be a list, and is none. */
function withoutOddLists (document: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(document).filter(([name, value]) => !/_(methods|values|types|modes)_supported$|^scopes_supported$/.test(name) || Array.isArray(value)))
}

function isPassing (error: unknown): boolean {
  if (error instanceof AnswerError) return error.status >= 500 || [408, 425, 429].includes(error.status)
  return error instanceof BackchannelError
}

function messageOf ({ address, error }: Failure): string {
  if (error instanceof AnswerError) return `${address} answers with status ${error.status}`
  return `${address}: ${error instanceof Error ? error.message : 'unknown'}`
}

/** All traffic goes over the app's own backchannel. Plain http was judged before: only what `isSecureUrl` allows gets here. */
export function over (fetch: Fetch) {
  return { [oauth.customFetch]: fetch, [oauth.allowInsecureRequests]: true }
}
