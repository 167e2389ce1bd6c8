import { timingSafeEqual } from 'node:crypto'
import type { Form } from './form.ts'
import { OAuthError } from './oauth-error.ts'
import type { RequestRecord } from './request-log.ts'
import type { Settings } from './settings.ts'

export type ClientAuthenticationMethod = 'client_secret_basic' | 'client_secret_post'

interface Credentials { id: string | undefined, secret: string | undefined }

const credentials: Record<ClientAuthenticationMethod, (form: Form, authorization: string) => Credentials> = {
  client_secret_basic: (_form, authorization) => fromBasic(authorization),
  client_secret_post: (form) => ({ id: form.get('client_id'), secret: form.get('client_secret') })
}

/** Lets the client in by exactly one method (RFC 6749 §2.3), and notes it in the record. */
export function authenticateClient (record: RequestRecord, form: Form, settings: Settings): void {
  const inHeader = record.headers.authorization !== undefined
  if (inHeader && (form.has('client_secret') || form.has('client_assertion'))) {
    throw new OAuthError('invalid_request', 'more than one method of client authentication')
  }
  const method = inHeader ? 'client_secret_basic' : 'client_secret_post'
  if (!settings.clientAuthentication.includes(method)) throw refused(inHeader)
  const { id, secret } = credentials[method](form, record.headers.authorization ?? '')
  if (!same(id, settings.clientId) || !same(secret, settings.clientSecret)) throw refused(inHeader)
  if (form.has('client_id') && form.get('client_id') !== id) {
    throw new OAuthError('invalid_request', 'client_id is not the client that authenticated')
  }
  record.clientAuthentication = method
}

function fromBasic (header: string): Credentials {
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

function refused (inHeader: boolean): OAuthError {
  return new OAuthError('invalid_client', 'the client is not authenticated', 401,
    inHeader ? { 'www-authenticate': 'Basic realm="authorization server"' } : {})
}
