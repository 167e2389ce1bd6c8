import { compactVerify, type CryptoKey, decodeProtectedHeader } from 'jose'
import type { Dispatcher } from 'undici'
import { BackchannelError } from './backchannel.ts'
import type { ClientAuthentication } from './client-authentication.ts'
import { type KeyMeans, ProviderKeys, type ProviderKeysSettings } from './provider-keys.ts'

/** Seconds that a refresh waits for keys: its tokens count without the id_token that came along. */
const PATIENCE = 1

export interface SignaturesSettings extends ProviderKeysSettings {
  readonly clientAuthentication: Pick<ClientAuthentication, 'secret'>
  readonly login?: { readonly verifySignature: boolean } | undefined
}

/** What a token is signed with that only the provider, or the client besides, can have signed. */
export class Signatures {
  readonly keys: ProviderKeys
  readonly #settings: SignaturesSettings

  constructor (settings: SignaturesSettings) {
    this.keys = new ProviderKeys(settings)
    this.#settings = settings
  }

  /** Whether id_tokens are verified by it: where the provider publishes keys, unless the option says otherwise. */
  get areVerified (): boolean {
    return (this.#settings.login?.verifySignature ?? true) && this.keys.arePublished
  }

  /** How an id_token is checked that came along with what was asked for; `undefined` where none is. */
  ofByProducts (dispatcher: Dispatcher): ((idToken: string) => Promise<unknown>) | undefined {
    return this.areVerified ? (idToken) => this.keyOf(idToken, { dispatcher, patience: PATIENCE }) : undefined
  }

  /**
   * The key that has signed a token: one of the provider's, or the secret of the client (OpenID Connect Core §10.1). Which
   * algorithm it may be is for others to judge; `none` is none of them, and no public key is ever taken for a secret.
   *
   * @throws BackchannelError where the keys cannot be had; any other error where it is not signed by the provider.
   */
  async keyOf (token: string, means: KeyMeans): Promise<CryptoKey | Uint8Array> {
    const { alg } = decodeProtectedHeader(token)
    if (!alg?.startsWith('HS')) return await this.keys.keyOf(token, means)
    const { secret } = this.#settings.clientAuthentication
    if (secret === undefined) throw new Error(`it is signed with ${alg}, by a secret of the client that is not known here. Have the provider sign with a key of its own`)
    const key = new TextEncoder().encode(await secret().catch((error: unknown) => {
      throw new BackchannelError('The client secret cannot be had, which a token is signed with: see the cause', false, error, false)
    }))
    await compactVerify(token, key)
    return key
  }
}
