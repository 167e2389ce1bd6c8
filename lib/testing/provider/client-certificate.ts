import { type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Form } from './form.ts'
import type { Realm } from './realm.ts'
import type { Certificate, RequestRecord } from './request-log.ts'

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
