import type { Answer } from './answer.ts'
import { withoutDuplicates } from './form.ts'
import { OAuthError } from './oauth-error.ts'
import type { Realm } from './realm.ts'
import type { RequestRecord } from './request-log.ts'

/** OpenID Connect RP-Initiated Logout §2. Tokens live on: ending them is what revocation is for. */
export async function endSessionEndpoint ({ signer, settings }: Realm, { url }: RequestRecord): Promise<Answer> {
  const query = withoutDuplicates(url.searchParams)
  const hint = query.get('id_token_hint')
  if (hint !== undefined && !await signer.read(hint)) throw new OAuthError('invalid_request', 'id_token_hint was not issued here')
  const back = query.get('post_logout_redirect_uri')
  if (back === undefined) return { status: 200, headers: {}, body: 'logged out' }
  if (hint === undefined && query.get('client_id') !== settings.clientId) {
    throw new OAuthError('invalid_request', 'a redirect needs id_token_hint or client_id')
  }
  if (!URL.canParse(back)) throw new OAuthError('invalid_request', 'post_logout_redirect_uri is not a URI')
  const location = new URL(back)
  if (query.has('state')) location.searchParams.set('state', query.get('state') ?? '')
  return { status: 303, headers: { location: location.href }, body: '' }
}
