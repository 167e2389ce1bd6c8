import { text } from 'node:stream/consumers'
import type { KoaContextWithOIDC, Provider } from 'oidc-provider'

/*
 * What a person sees of the identity provider: a page to log in, one to log out, and one for errors. It looks different
 * from the app on purpose: it is another site.
 */

type Context = Pick<KoaContextWithOIDC, 'req' | 'res' | 'set' | 'body' | 'type' | 'path' | 'method' | 'respond' | 'status'>

/** The path of the login page; the provider sends the browser here with the id of the interaction behind it. */
export const loginPath = '/login/'

/** The middleware that shows the login page and takes its form. */
export function loginPage (provider: Provider) {
  return async (context: Context, next: () => Promise<unknown>): Promise<void> => {
    if (!context.path.startsWith(loginPath)) {
      await next()
      return
    }
    const { prompt } = await provider.interactionDetails(context.req, context.res)
    // The provider asks for consent where the app wants a refresh token. The demo's app and provider belong together.
    if (prompt.name === 'consent') {
      context.respond = false
      await provider.interactionFinished(context.req, context.res, { consent: {} })
      return
    }
    const form = context.method === 'POST' ? new URLSearchParams(await text(context.req)) : new URLSearchParams()
    const username = form.get('username')?.trim() ?? ''
    const password = form.get('password') ?? ''
    if (username !== '' && password !== '') {
      context.respond = false
      await provider.interactionFinished(context.req, context.res, { login: { accountId: username }, consent: {} })
      return
    }
    show(context, 'Sign in', `
      <h1>Sign in</h1>
      <p>to continue to <strong>the demo app</strong></p>
      ${context.method === 'POST' ? '<p class="error" role="alert">Please give a username and a password.</p>' : ''}
      <form method="post">
        <label>Username <input name="username" value="${escapeHtml(username)}" autocomplete="username" autocapitalize="none" maxlength="40" required autofocus></label>
        <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
        <button>Sign in</button>
      </form>
      <p class="hint">This is a demo: any username and any password will do.</p>`)
  }
}

/** The page that asks whether to log out here too; `form` is the provider's own, with its protection against forgery. */
export function logoutPage (context: KoaContextWithOIDC, form: string): void {
  show(context, 'Sign out', `
    <h1>Signed out of the app</h1>
    <p>Sign out of <strong>Demo Identity</strong> too? If not, the next login needs no password.</p>
    ${form}
    <button form="op.logoutForm" name="logout" value="yes" autofocus>Sign out</button>
    <button form="op.logoutForm" class="quiet">Stay signed in</button>`)
}

/** The page for requests that the provider refuses, with a way back to the app. */
export function errorPage (app: string) {
  return (context: KoaContextWithOIDC, out: { error: string, error_description?: string | undefined }): void => {
    show(context, 'Error', `
      <h1>That did not work</h1>
      <p class="error">${escapeHtml(out.error_description ?? out.error)}</p>
      <a class="button" href="${escapeHtml(app)}">Back to the app</a>
      <p class="hint">Start again there. (<code>${escapeHtml(out.error)}</code>)</p>`)
  }
}

function show (context: Pick<Context, 'set' | 'body' | 'type'>, title: string, content: string): void {
  context.set('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'")
  context.set('cache-control', 'no-store')
  context.type = 'html'
  context.body = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>${title} · Demo Identity</title>
<style>${style}</style>
<main>
  <p class="brand">Demo Identity</p>${content}
</main>
</html>`
}

function escapeHtml (value: string): string {
  return value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

const style = `
  :root { --ground: #f3f0fa; --card: #fff; --text: #221a33; --quiet: #6a6080; --line: #d9d2e8; --edge: #857a9e; --accent: #6b3fd4; --error: #b3261e }
  @media (prefers-color-scheme: dark) {
    :root { --ground: #15111f; --card: #201a2e; --text: #ece7f7; --quiet: #a79dbd; --line: #3a3150; --edge: #7d7199; --accent: #7d55dd; --error: #ff9a91 }
  }
  * { box-sizing: border-box }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif }
  main { width: 100%; max-width: 24rem; padding: 2rem; background: var(--card); border: 1px solid var(--line); border-radius: 1rem; box-shadow: 0 8px 30px #0000001a }
  h1 { margin: 0; font-size: 1.5rem; line-height: 1.25 }
  p { margin: .5rem 0 1.25rem }
  .brand { margin: 0 0 1.5rem; font-weight: 600; color: var(--quiet) }
  .brand::before { content: ''; display: inline-block; width: .8em; height: .8em; margin-right: .5em; border-radius: 50%; background: var(--accent) }
  .hint { margin-bottom: 0; font-size: .875rem; color: var(--quiet) }
  .error { color: var(--error) }
  label { display: block; margin-bottom: 1rem; font-size: .875rem; font-weight: 600 }
  input { display: block; width: 100%; margin-top: .25rem; padding: .65rem .75rem; font: inherit; font-size: 1rem; color: inherit; background: transparent; border: 1px solid var(--edge); border-radius: .5rem }
  button, .button { display: block; width: 100%; margin-bottom: .75rem; padding: .7rem; font: inherit; font-weight: 600; color: #fff; background: var(--accent); border: 1px solid var(--accent); border-radius: .5rem; cursor: pointer }
  .button { text-align: center; text-decoration: none }
  button.quiet { margin: 0; color: inherit; background: transparent; border-color: var(--edge) }
  :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }`
