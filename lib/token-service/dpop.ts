import { LRUCache } from 'lru-cache'
import * as oauth from 'oauth4webapi'
import { InvalidOptions, InvalidParameters, NoDpopKey } from '../errors.ts'
import type { DpopAlgorithm } from '../options/schema.ts'
import type { JsonWebKey } from '../tokens/token-set.ts'
import { AnswerError } from './token-response.ts'
import { within } from './within.ts'

/** Servers whose nonces are remembered: the token service, and the APIs that proofs are made for. */
const MAX_ORIGINS = 1000

/** A request is sent again so often where the server wants another nonce each time. */
const MAX_RETRIES = 3

/** What a proof is for. */
export interface ProofRequest {
  /** The method of the request: `GET`. */
  readonly htm: string
  /** Its address; query and fragment are no part of the proof. */
  readonly htu: string | URL
  /** The access token that goes with the request; default: the current one. */
  readonly accessToken?: string
  /** What the last answer of that server has said in `DPoP-Nonce`. All sessions use it from then on. */
  readonly nonce?: string | null | undefined
}

/** The proofs of possession of DPoP (RFC 9449), as oauth4webapi makes them, and the nonces that all sessions share. */
export class Dpop {
  readonly #nonces = new LRUCache<string, string>({ max: MAX_ORIGINS })
  /** Settles when all have had their turn whose nonces were outdated. */
  #line: Promise<unknown> = Promise.resolve()

  /**
   * What oauth4webapi makes proofs with, for one request and its retries: these hold the nonce of the very answer that asked
   * for it, whatever others were given meanwhile. Keys are imported for each use: none outlives its session in memory.
   */
  async handle (key: JsonWebKey, client: oauth.Client): Promise<oauth.DPoPHandle> {
    return oauth.DPoP(client, await importKeyPair(key), {
      [oauth.modifyAssertion]: (header, claims) => {
        // RFC 9864 has renamed it to Ed25519, and many servers know only the old name.
        if (key.alg === 'EdDSA') header.alg = key.alg
        claims.nonce ??= this.#nonces.get(new URL(String(claims.htu)).origin)
      }
    })
  }

  /**
   * A proof for a request that somebody else sends (RFC 9449 §7.1): oauth4webapi makes it for one of its own, which does not
   * get further than here.
   *
   * @throws FST_TOKEN_INVALID_PARAMETERS
   */
  async proof (key: JsonWebKey, client: oauth.Client, { htm, htu, accessToken, nonce }: ProofRequest & { accessToken: string }): Promise<string> {
    const url = httpUrl(htu)
    this.keepNonce(url, nonce)
    let proof = ''
    await oauth.protectedResourceRequest(accessToken, htm, url, new Headers(), null, {
      DPoP: await this.handle(key, client),
      [oauth.allowInsecureRequests]: true,
      [oauth.customFetch]: async (_url, { headers }) => {
        proof = headers.dpop ?? ''
        return new Response()
      }
    })
    return proof
  }

  /**
   * Asks, and asks again as long as the server wants another nonce in the proof: it has looked at nothing else then, and
   * spent nothing (RFC 9449 §8). What is sent again is made anew, the client's assertion included (RFC 7523 §3: its `jti` is
   * used once). Where a nonce is outdated by the next answer to anybody, those who ask go one after the other.
   *
   * @param lastNonce - that of the last answer.
   * @param patience - seconds to wait for others.
   */
  async askWithNonce<Answer> (ask: () => Promise<Answer>, lastNonce: () => string | null, patience: number): Promise<Answer> {
    let used: string | null = null
    const attempt = async (retriesLeft: number): Promise<Answer> => {
      try {
        return await ask()
      } catch (error) {
        const wanted = lastNonce()
        if (!(error instanceof AnswerError && error.error === 'use_dpop_nonce') || wanted === null || wanted === used || retriesLeft === 0) throw error
        used = wanted
        const again = () => attempt(retriesLeft - 1)
        return await (retriesLeft === MAX_RETRIES - 1 ? this.#inLine(again, patience) : again())
      }
    }
    return await attempt(MAX_RETRIES)
  }

  async #inLine<Result> (task: () => Promise<Result>, patience: number): Promise<Result> {
    const others = this.#line
    const result = within(patience, 'the line', () => others).catch(() => undefined).then(task)
    this.#line = Promise.allSettled([others, result])
    return await result
  }

  /** Every answer may bring the nonce that its server wants to see next (RFC 9449 §8.2). */
  keepNonce ({ origin }: URL, nonce: string | null | undefined): void {
    if (nonce) this.#nonces.set(origin, nonce)
  }
}

/** A new private key for one session. */
export async function generateDpopKey (alg: DpopAlgorithm): Promise<JsonWebKey> {
  const { privateKey } = await oauth.generateKeyPair(alg, { extractable: true })
  const { kty, crv, x, y, d } = await crypto.subtle.exportKey('jwk', privateKey)
  return { kty, crv, x, ...(y !== undefined && { y }), d, alg }
}

/** The thumbprint of its public key, which binds an authorization code to it: `dpop_jkt` (RFC 9449 §10). */
export async function thumbprintOf (key: JsonWebKey): Promise<string> {
  return await oauth.DPoP({}, await importKeyPair(key)).calculateThumbprint()
}

/** @throws FST_TOKEN_INVALID_OPTIONS where the provider says that it does not take this algorithm. */
export function checkAlgorithm (alg: DpopAlgorithm, { dpop_signing_alg_values_supported: supported }: oauth.AuthorizationServer): void {
  if (supported !== undefined && !supported.includes(alg)) {
    throw new InvalidOptions(`dpop.alg is ${alg}, and the provider takes ${supported.join(', ') || 'none'}`)
  }
}

/** @throws FST_TOKEN_NO_DPOP_KEY where no proof could be made with this key. */
export async function checkDpopKey (key: JsonWebKey): Promise<void> {
  await importKeyPair(key)
}

function httpUrl (htu: string | URL): URL {
  if (!URL.canParse(String(htu)) || !/^https?:$/.test(new URL(htu).protocol)) throw new InvalidParameters('htu must be an absolute http or https URL')
  return new URL(htu)
}

async function importKeyPair ({ kty, crv = '', x, y, d }: JsonWebKey): Promise<oauth.CryptoKeyPair> {
  const algorithm = kty === 'EC' ? { name: 'ECDSA', namedCurve: crv } : crv
  const publicKey = { kty, crv, x, ...(y !== undefined && { y }) }
  try {
    return {
      privateKey: await crypto.subtle.importKey('jwk', { ...publicKey, d }, algorithm, false, ['sign']),
      publicKey: await crypto.subtle.importKey('jwk', publicKey, algorithm, true, ['verify'])
    }
  } catch (error) {
    throw new NoDpopKey('what was given is no private JSON Web Key on one of the curves P-256, P-384, P-521 and Ed25519', { cause: error })
  }
}
