export type { TestProviderSettings as Settings } from '../../../lib/testing/provider/settings.ts'

export const openidPath = '/.well-known/openid-configuration'
/** RFC 8414 §3 */
export const oauthPath = '/.well-known/oauth-authorization-server'

/** A whole test file runs with DPoP, nonces included: see test/scenarios/races-with-dpop.test.ts. */
export const everythingWithDpop = process.env.TOKEN_TYPE === 'DPoP'
