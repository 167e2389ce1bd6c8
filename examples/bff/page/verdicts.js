/* global document */

/*
 * What the answers of some calls mean, and what to do about it. Each is { is: 'good' or 'bad', text, way }.
 */

const noApp = 'The app does not answer. Is it still running?'

/** The plugin's side. @param repair - mends the token service, and calls then. @param isDown - whether that is needed. */
export function pluginVerdict ({ repair, retry, isDown, loginPath }) {
  return (answers) => {
    const failed = answers.filter(({ status }) => status !== 200)
    if (failed.length === 0) return good(answers, 'Where the token was due, one refresh was enough for all of them.')
    const { status, body, retryAfter } = failed.at(-1)
    if (status === 401) {
      return bad(failed, answers, body?.code === 'FST_TOKEN_LOGIN_REQUIRED'
        ? 'The login has been revoked at the identity provider, and the app has found out.'
        : 'Nobody is logged in here any more.', link('Log in again', `${loginPath}?returnTo=/login`))
    }
    if (status === 503) {
      const again = button(isDown() ? 'Bring it back' : `Try again in ${retryAfter} s`, () => repair(retryAfter))
      return bad(failed, answers, `The token service is out of reach. You are still logged in, and the app asks again in ${retryAfter} s.`, again)
    }
    return bad(failed, answers, status === 0 ? noApp : body?.message ?? 'The API refuses the call.', button('Try again', retry))
  }
}

/** The side that is written by hand. */
export function handVerdict ({ retry, isRevoked }) {
  return (answers) => {
    const failed = answers.filter(({ status }) => status !== 200)
    if (failed.length === 0) {
      return good(answers, answers.length > 1 ? 'The token was not due yet, so nobody had to refresh it.' : 'One call at a time goes well, and so do the tests of such code.')
    }
    const reasons = new Set(failed.map(({ body }) => body?.reason))
    if (failed.some(({ status }) => status !== 401)) return bad(failed, answers, noApp, button('Try again', retry))
    if (reasons.has('unavailable')) return bad(failed, answers, 'Logged out by an outage: the refresh failed, and the code took that for the end of the session.', link('Log in again'))
    if (!reasons.has('invalid_grant')) return bad(failed, answers, 'Logged out, and nothing but a login helps.', link('Log in again'))
    return bad(failed, answers, isRevoked() || answers.length === 1
      ? 'Logged out: the provider has revoked the login.'
      : 'Logged out: each call has sent the same refresh token. At its second use the provider revokes the login.', link('Log in again'))
  }
}

function good ({ length }, text) {
  return { is: 'good', text: `${length} of ${length} answered. ${text}` }
}

function bad (failed, answers, text, way) {
  return { is: 'bad', text: `${failed.length} of ${answers.length} failed${failed.at(-1).status === 0 ? '' : ` with ${failed.at(-1).status}`}. ${text}`, way }
}

/** Without an address, to where one logs in only as far as one is not. */
export function link (text, href = '/login') {
  return Object.assign(document.createElement('a'), { href, textContent: text })
}

function button (text, run) {
  const element = Object.assign(document.createElement('button'), { type: 'button', className: 'link', textContent: text })
  element.addEventListener('click', run)
  return element
}
