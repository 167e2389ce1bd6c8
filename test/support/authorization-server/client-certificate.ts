import type { X509Certificate } from 'node:crypto'
import { type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Form } from './form.ts'
import type { Realm } from './realm.ts'
import type { RequestRecord } from './request-log.ts'

/** The certificate that a connection was opened with. */
export interface Certificate {
  x509: X509Certificate
  /** It is of an authority that this server trusts, and has not expired. */
  authorized: boolean
}

export function certificateOf (socket: Socket): Certificate | undefined {
  if (!(socket instanceof TLSSocket)) return undefined
  const x509 = socket.getPeerX509Certificate()
  return x509 && { x509, authorized: socket.authorized }
}

/** RFC 8705 §2.1: of a trusted authority, and of the registered subject. */
export function checkCaCertificate ({ settings }: Realm, { certificate }: RequestRecord, form: Form): string | undefined {
  return certificate?.authorized && certificate.x509.subject === settings.clientSubject ? form.get('client_id') : undefined
}

/** RFC 8705 §2.2: the registered one, whoever has signed it. */
export function checkSelfSignedCertificate ({ settings }: Realm, { certificate }: RequestRecord, form: Form): string | undefined {
  const registered = settings.clientJwks.keys.flatMap(({ x5c = [] }) => x5c)
  return certificate && registered.includes(certificate.x509.raw.toString('base64')) ? form.get('client_id') : undefined
}
