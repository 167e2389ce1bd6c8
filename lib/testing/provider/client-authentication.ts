import { timingSafeEqual } from 'node:crypto'
import { checkClientAssertion, isSignedBySecret } from './client-assertion.ts'
import { checkCaCertificate, checkSelfSignedCertificate } from './client-certificate.ts'
import type { Form } from './form.ts'
import { OAuthError } from './oauth-error.ts'
import type { Realm } from './realm.ts'
import type { RequestRecord } from './request-log.ts'
import type { ClientAuthenticationMethod } from './settings.ts'

/** Says who the client is, or `undefined` for whom it does not let in. */
type Method = (realm: Realm, record: RequestRecord, form: Form) => string | undefined | Promise<string | undefined>

const methods: Record<ClientAuthenticationMethod, Method> = {
  client_secret_basic: ({ settings }, { headers }) => bySecret(settings.clientSecret, fromBasic(headers.authorization ?? '')),
  client_secret_post: ({ settings }, _record, form) => bySecret(settings.clientSecret, { id: form.get('client_id'), secret: form.get('client_secret') }),
  client_secret_jwt: checkClientAssertion,
  private_key_jwt: checkClientAssertion,
  tls_client_auth: checkCaCertificate,
  self_signed_tls_client_auth: checkSelfSignedCertificate,
  none: (_realm, _record, form) => form.get('client_id')
}

/** Lets the client in by exactly one method (RFC 6749 §2.3), and notes it in the record. */
export async function authenticateClient (realm: Realm, record: RequestRecord, form: Form): Promise<void> {
  const { clientId, clientAuthentication } = realm.settings
  const credentials = [record.headers.authorization, form.get('client_secret'), form.get('client_assertion')]
  if (credentials.filter((each) => each !== undefined).length > 1) throw new OAuthError('invalid_request', 'more than one method of client authentication')
  const method = methodOf(record, form, clientAuthentication)
  if (!clientAuthentication.includes(method)) throw refused(record)
  if (!same(await methods[method](realm, record, form), clientId)) throw refused(record)
  if ((form.get('client_id') ?? clientId) !== clientId) throw new OAuthError('invalid_request', 'client_id is not the client that authenticated')
  record.clientAuthentication = method
}

function methodOf ({ headers, certificate }: RequestRecord, form: Form, registered: ClientAuthenticationMethod[]): ClientAuthenticationMethod {
  const assertion = form.get('client_assertion')
  if (headers.authorization !== undefined) return 'client_secret_basic'
  if (form.has('client_secret')) return 'client_secret_post'
  if (assertion !== undefined) return isSignedBySecret(assertion) ? 'client_secret_jwt' : 'private_key_jwt'
  if (certificate === undefined) return 'none'
  return registered.includes('tls_client_auth') ? 'tls_client_auth' : 'self_signed_tls_client_auth'
}

function bySecret (expected: string, { id, secret }: { id: string | undefined, secret: string | undefined }): string | undefined {
  return same(secret, expected) ? id : undefined
}

function fromBasic (header: string): { id: string | undefined, secret: string | undefined } {
  const encoded = /^Basic ([A-Za-z0-9+/]+={0,2})$/i.exec(header)?.[1] ?? ''
  const [id, secret, ...rest] = Buffer.from(encoded, 'base64').toString('latin1').split(':').map(formDecode)
  return rest.length === 0 ? { id, secret } : { id: undefined, secret: undefined }
}

/** RFC 6749 §2.3.1, appendix B. What form encoding would have escaped must not come in clear. */
function formDecode (text: string): string | undefined {
  if (!/^([\w*.!~'()+-]|%[\da-f]{2})*$/i.test(text)) return undefined
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}

function same (given: string | undefined, expected: string): boolean {
  const [a, b] = [Buffer.from(given ?? ''), Buffer.from(expected)]
  return given !== undefined && a.length === b.length && timingSafeEqual(a, b)
}

function refused ({ headers }: RequestRecord): OAuthError {
  return new OAuthError('invalid_client', 'the client is not authenticated', 401,
    headers.authorization === undefined ? {} : { 'www-authenticate': 'Basic realm="authorization server"' })
}
