import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose'

/** A private key as a client makes it for one session (RFC 9449), and its thumbprint. */
export async function sessionKey (): Promise<{ key: JWK, jkt: string }> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true })
  const key = await exportJWK(privateKey)
  return { key, jkt: await calculateJwkThumbprint(key) }
}
