import { OAuthError } from './oauth-error.ts'
import type { Settings } from './settings.ts'

/** RFC 8707 §2: an absolute URI without a fragment, of a resource known here. */
export function checkResource (resource: string | undefined, { resources }: Settings): string | undefined {
  if (resource === undefined) return undefined
  if (!URL.canParse(resource) || resource.includes('#')) {
    throw new OAuthError('invalid_target', 'resource must be an absolute URI without a fragment')
  }
  if (resources && !resources.includes(resource)) throw new OAuthError('invalid_target', 'the resource is unknown')
  return resource
}
