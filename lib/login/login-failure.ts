import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { hasCode } from '../errors.ts'
import type { CheckedOptions } from '../options/check.ts'
import type { FailedLogin } from './login-error.ts'
import { type Page, sendPage } from './page.ts'
import { mayPass } from './redemptions.ts'
import { RefusedByApp } from './session-start.ts'

/** Answers a login that failed; with the page that it was to end on. */
export type AnswerFailure = (request: FastifyRequest, reply: FastifyReply, error: unknown, returnTo?: string) => Promise<unknown>

export interface LoginFailureSettings {
  readonly onFailed: NonNullable<CheckedOptions['login']>['onFailed']
  /** As the browser sees it. */
  readonly loginPath: string
}

/** The app's own answer, or a page for people; programs get the error as any other of the app. */
export function loginFailure ({ onFailed, loginPath }: LoginFailureSettings): AnswerFailure {
  return async (request, reply, error, returnTo) => {
    if (error instanceof RefusedByApp) throw error.cause
    if (!isOurs(error)) throw error
    if (onFailed === undefined && !request.headers.accept?.includes('text/html')) throw error
    const { statusCode = 500, headers = {} } = error
    request.log[statusCode >= 500 ? 'error' : 'info']({ err: error }, 'The login failed')
    reply.headers(headers)
    if (onFailed === undefined) return sendPage(reply.code(statusCode), pageOf(request, error, withReturnTo(loginPath, returnTo)))
    const answer: unknown = await onFailed(request, reply, error)
    if (reply.sent) return reply
    return reply.statusCode === 200 ? reply.code(statusCode).send(answer) : answer
  }
}

function isOurs (error: unknown): error is FailedLogin & { readonly headers?: Record<string, string> } {
  return hasCode(error)
}

function withReturnTo (loginPath: string, returnTo: string | undefined): string {
  return returnTo === undefined ? loginPath : `${loginPath}?${new URLSearchParams({ returnTo })}`
}

function pageOf (request: FastifyRequest, error: FailedLogin, href: string): Page {
  const code = error.providerError === undefined ? error.code : `${error.code}: ${error.providerError}`
  const again = { href, text: 'Log in again' }
  if (mayPass(error)) {
    // The same address, whatever a proxy has stripped from its path.
    return { title: 'Not yet logged in', sentences: ['The identity provider is out of reach at the moment. Nothing is lost: try again in a few seconds.'], code, link: { href: request.url.slice(request.url.indexOf('?')), text: 'Try again' } }
  }
  if (error.providerError === 'access_denied') {
    return { title: 'Not logged in', sentences: ['The identity provider says that the login was cancelled, or that access was not granted.'], code, link: again }
  }
  if (error.isUnknown) {
    return {
      title: 'This login cannot be finished here',
      sentences: [
        'It was begun in another browser, took longer than ten minutes, or is finished already.',
        `Or it was begun at another address: this one is ${request.host}, and a browser keeps what it has for one address from all others (localhost and 127.0.0.1 are two).`
      ],
      code,
      link: again
    }
  }
  return { title: 'The login failed', sentences: [sentenceOf(error)], code, link: again }
}

function sentenceOf ({ statusCode = 500 }: FastifyError): string {
  return statusCode >= 500
    ? 'Something is wrong with this app or with the identity provider, and a login may not help until somebody has mended it.'
    : 'What the identity provider has answered could not be used.'
}
