import type { AuthorizationServer } from 'oauth4webapi'
import { InvalidOptions } from '../errors.ts'
import { TENANT, tenantsProblem } from '../options/provider-check.ts'
import { readClaims } from '../tokens/jwt.ts'
import { isRecord } from '../tokens/record.ts'

/*
 * Entra ID for several tenants: the metadata has a place in its issuer, in which each id_token has its tenant, `tid`
 * (https://learn.microsoft.com/entra/identity-platform/access-tokens#multi-tenant-applications).
 */

/** What stands in that place under an address that is no tenant's own; the one of all personal accounts is known. */
const ADDRESSES: Readonly<Record<string, string>> = {
  common: TENANT,
  organizations: TENANT,
  consumers: '9188040d-6c67-4c5b-b112-36a304b66dad'
}

/** The issuer that the metadata under this one names. */
export function issuerNamedBy (issuer: string): string {
  return issuer.replace(/\/(common|organizations|consumers)\/v2\.0\/?$/, (_path, address: string) => `/${ADDRESSES[address]}/v2.0`)
}

/** @throws FST_TOKEN_INVALID_OPTIONS for tenants of an issuer that is one. */
export function checkTenants (tenants: readonly string[] | undefined, { issuer }: AuthorizationServer): void {
  if (tenants && !issuer.includes(TENANT)) throw new InvalidOptions(tenantsProblem(issuer))
}

/**
 * The server by the issuer that it has for the tenant in this answer's id_token, where it is of several.
 *
 * @throws Error where the id_token says none.
 */
export async function serverOfTenant (server: AuthorizationServer, answer: Response): Promise<AuthorizationServer> {
  if (!server.issuer.includes(TENANT)) return server
  const body: unknown = await answer.clone().json()
  if (!isRecord(body) || body.id_token === undefined) return server
  const tenant = tenantOf(body.id_token)
  if (tenant === undefined) throw new Error('the id_token does not say of which tenant somebody is')
  return { ...server, issuer: server.issuer.replace(TENANT, tenant) }
}

/** The server by the issuer that an authorization response names (RFC 9207), if that can be one of its tenants'. */
export function serverNamed (server: AuthorizationServer, issuer: string | null): AuthorizationServer {
  const [before = '', after] = server.issuer.split(TENANT)
  if (issuer === null || after === undefined || !issuer.startsWith(before) || !issuer.endsWith(after)) return server
  const tenant = issuer.slice(before.length, issuer.length - after.length)
  return isTenant(tenant) ? { ...server, issuer } : server
}

/** Whether somebody with this id_token may log in. */
export function mayLogIn (tenants: readonly string[] | undefined, idToken: string | undefined): boolean {
  const tenant = tenantOf(idToken)?.toLowerCase()
  return tenants === undefined || tenants.some((each) => each.toLowerCase() === tenant)
}

function tenantOf (idToken: unknown): string | undefined {
  const tenant = typeof idToken === 'string' ? readClaims(idToken)?.tid : undefined
  return isTenant(tenant) ? tenant : undefined
}

function isTenant (tenant: unknown): tenant is string {
  return typeof tenant === 'string' && /^[\w.-]+$/.test(tenant)
}
