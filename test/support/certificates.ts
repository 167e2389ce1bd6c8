import { X509Certificate } from 'node:crypto'
import { generate } from 'selfsigned'

/** A certificate and its private key, in PEM. */
export interface Pair { readonly cert: string, readonly key: string }

/** Times of a certificate; default: from now, for a year. */
export interface Validity { readonly notBeforeDate?: Date, readonly notAfterDate?: Date }

/** Somebody whom a server or a client trusts. */
export interface Authority {
  readonly cert: string
  /** A certificate of this name, for a server on loopback or for a client. */
  issue (commonName: string, validity?: Validity): Promise<Pair>
}

const hour = 3_600_000

/** Expired for an hour. */
export const longAgo: Validity = { notBeforeDate: new Date(Date.now() - 3 * hour), notAfterDate: new Date(Date.now() - hour) }

export async function makeAuthority (): Promise<Authority> {
  const ca = await make('authority', {}, { extensions: [{ name: 'basicConstraints', cA: true, critical: true }, { name: 'keyUsage', keyCertSign: true, critical: true }] })
  return {
    cert: ca.cert,
    issue: (commonName, validity) => make(commonName, validity, { ca, extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }] })
  }
}

export function selfSigned (commonName: string, validity?: Validity): Promise<Pair> {
  return make(commonName, validity)
}

/** As `x5c` of a JWK holds it. */
export function x5cOf ({ cert }: Pair): string[] {
  return [new X509Certificate(cert).raw.toString('base64')]
}

async function make (commonName: string, validity: Validity = {}, options: Parameters<typeof generate>[1] = {}): Promise<Pair> {
  const { cert, private: key } = await generate([{ name: 'commonName', value: commonName }], { keyType: 'ec', algorithm: 'sha256', ...validity, ...options })
  return { cert, key }
}
