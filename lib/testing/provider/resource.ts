import { OAuthError } from './oauth-error.ts'
import type { TestProviderSettings } from './settings.ts'

/** What a token is asked for: one resource at a time, and where the login named some, one of those (RFC 8707 §2.2). */
export function checkResource (resource: string | undefined, settings: TestProviderSettings, granted: readonly string[] = []): string | undefined {
  const [asked, ...more] = checkResources(resource, settings)
  if (more.length > 0) throw new OAuthError('invalid_target', 'a token is for one resource')
  if (asked !== undefined && granted.length > 0 && !granted.includes(asked)) throw new OAuthError('invalid_target', 'the login has not named this resource')
  return asked
}

/** RFC 8707 §2.1 */
export function checkResources (resources: string | undefined, settings: TestProviderSettings): string[] {
  return (resources?.split(' ') ?? []).map((resource) => known(resource, settings))
}

/** RFC 8707 §2: an absolute URI without a fragment, of a resource known here. */
function known (resource: string, { resources }: TestProviderSettings): string {
  if (!URL.canParse(resource) || resource.includes('#')) {
    throw new OAuthError('invalid_target', 'resource must be an absolute URI without a fragment')
  }
  if (resources && !resources.includes(resource)) throw new OAuthError('invalid_target', 'the resource is unknown')
  return resource
}
