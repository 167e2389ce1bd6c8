import { createHash } from 'node:crypto'
import type { FastifyReply } from 'fastify'

/** What a person is told. All of it is text. */
export interface Page {
  readonly title: string
  readonly sentences: readonly string[]
  /** For who asks the app's makers. */
  readonly code?: string
  readonly link: { readonly href: string, readonly text: string }
}

const style = `
  :root { color-scheme: light dark; --ground: #f6f7f9; --card: #fff; --text: #1c2330; --quiet: #5b6577; --line: #dde1e8; --accent: #1f5fbf }
  @media (prefers-color-scheme: dark) { :root { --ground: #12151b; --card: #1a1f28; --text: #e8ebf0; --quiet: #9aa5b8; --line: #303846; --accent: #3470d0 } }
  * { box-sizing: border-box }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif }
  main { width: 100%; max-width: 30rem; padding: 2rem; background: var(--card); border: 1px solid var(--line); border-radius: 1rem }
  h1 { margin: 0 0 .75rem; font-size: 1.4rem; line-height: 1.25 }
  p { margin: 0 0 1rem; overflow-wrap: anywhere }
  a { display: inline-block; margin-top: .5rem; padding: .6rem 1.1rem; border-radius: .5rem; background: var(--accent); color: #fff; font-weight: 600; text-decoration: none }
  a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
  .code { margin: 1.5rem 0 0; font-size: .8125rem; color: var(--quiet) }`

const styleHash = createHash('sha256').update(style).digest('base64')

const headers = {
  'content-security-policy': `default-src 'none'; style-src 'sha256-${styleHash}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  'content-type': 'text/html; charset=utf-8',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store'
}

/** Sends a page that stands for itself: no script, nothing loaded, and nothing told to whom it links to. */
export function sendPage (reply: FastifyReply, { title, sentences, code, link }: Page): FastifyReply {
  return reply.headers(headers).send(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<link rel="icon" href="data:,">
<title>${escape(title)}</title>
<style>${style}</style>
<main>
  <h1>${escape(title)}</h1>
${sentences.map((sentence) => `  <p>${escape(sentence)}</p>`).join('\n')}
  <a href="${escape(link.href)}">${escape(link.text)}</a>
${code === undefined ? '' : `  <p class="code">${escape(code)}</p>\n`}</main>
</html>
`)
}

function escape (text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
