import type { Options } from './schema.ts'
import { insecureEndpoint, isPlainOrigin, isSecureUrl } from './secure-url.ts'

/** What stands in the issuer in place of a tenant, where the metadata is of several (Entra ID). */
export const TENANT = '{tenantid}'

/** What is wrong with the options that say which provider it is, and at which addresses. */
export function providerProblem (options: Options): string | undefined {
  const { issuer, metadata, allowInsecureRequests, tenants, login } = options
  if (!issuer && !metadata) return 'issuer or metadata is required: one of the two, so that the token endpoint is known'
  if (issuer && metadata) return 'issuer and metadata are one too many: leave metadata out, and it is discovered, or leave issuer out, and metadata.issuer counts'
  const bad = allowInsecureRequests.findIndex((origin) => !isPlainOrigin(origin))
  if (bad !== -1) return `allowInsecureRequests.${bad} must be an origin of plain http, such as http://keycloak:8080`
  const insecure = insecureOption(options)
  if (insecure !== undefined) return `${insecure} must be an absolute https URL (plain http only on loopback). For any other, list its origin in allowInsecureRequests`
  if (login?.callbackUri.includes('#')) return 'login.callbackUri must have no fragment (RFC 6749 §3.1.2)'
  if (issuer?.includes('/.well-known/')) {
    return `issuer is the address of its metadata, and not its name: give ${issuer.replace(/\/\.well-known\/[^/]*/, '')}, from which the address is made`
  }
  if (tenants && login && !login.scope.includes('openid')) return 'tenants needs openid in login.scope: the id_token says which tenant somebody is of'
  if (tenants && metadata && !metadata.issuer.includes(TENANT)) return tenantsProblem(metadata.issuer)
  return undefined
}

/** What is wrong with `tenants` where the provider names itself by this issuer. */
export function tenantsProblem (issuer: string): string {
  return `tenants is for issuers with ${TENANT} in them (Entra ID's common and organizations), and this one is ${issuer}. Leave it out`
}

function insecureOption ({ issuer, metadata, allowInsecureRequests, login, logout }: Options): string | undefined {
  const isSecure = (url: string): boolean => isSecureUrl(url, allowInsecureRequests)
  const urls = {
    issuer,
    'login.callbackUri': login?.callbackUri,
    'logout.postLogoutRedirectUri': logout?.postLogoutRedirectUri,
    'metadata.issuer': metadata?.issuer
  }
  const option = Object.entries(urls).find(([, url]) => url !== undefined && !isSecure(url))?.[0]
  const endpoint = insecureEndpoint(metadata ?? {}, isSecure)
  return option ?? (endpoint && `metadata.${endpoint.path}`)
}
