import type { FastifyRequest } from 'fastify'

/**
 * Whether somebody goes to a page: browsers say what a request is for (Fetch Metadata), and a prefetch is nobody's wish. What says
 * nothing is an older browser, a connection in clear, or no browser.
 */
export function isNavigation ({ headers }: FastifyRequest): boolean {
  const { 'sec-fetch-mode': mode = 'navigate', 'sec-purpose': purpose = '', purpose: formerPurpose = '' } = headers
  return mode === 'navigate' && ![purpose, formerPurpose].flat().some((each) => each.includes('prefetch'))
}

/** The same where there is something else to be answered: what says nothing has to ask for a page. */
export function wantsPage (request: FastifyRequest): boolean {
  const { 'sec-fetch-mode': mode, accept = '' } = request.headers
  return isNavigation(request) && (mode !== undefined || accept.includes('text/html'))
}
