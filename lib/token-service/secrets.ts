import type { BackchannelRequest } from './backchannel.ts'

/** What a request says in its form that everybody may know. */
const PUBLIC = new Set(['grant_type', 'client_id', 'redirect_uri', 'scope', 'resource', 'audience', 'client_assertion_type',
  'subject_token_type', 'actor_token_type', 'requested_token_type', 'token_type_hint', 'response_type', 'code_challenge_method'])

/** The credentials in a form: secret however short they are. */
const CREDENTIALS = new Set(['client_secret', 'client_assertion', 'code', 'code_verifier', 'refresh_token', 'subject_token', 'actor_token', 'token'])

const PUBLIC_HEADERS = new Set(['accept', 'content-type'])

/** What the app adds by itself may be secret; shorter than this it is a word that stands elsewhere, too. */
const SHORTEST = 8

const MASK = '***'

/** What in a request is or may be secret: credentials of the client and of the user, in every form that they are sent in, or come back in. */
export function secretsOf ({ headers, body }: BackchannelRequest): string[] {
  const form = body instanceof URLSearchParams ? [...body] : []
  const credentials = form.filter(([name]) => CREDENTIALS.has(name)).map(([, value]) => value)
  const others = form.filter(([name]) => !PUBLIC.has(name) && !CREDENTIALS.has(name)).map(([, value]) => value)
  const sent = Object.entries(headers).filter(([name]) => !PUBLIC_HEADERS.has(name.toLowerCase())).flatMap(([, value]) => [value, ...value.split(' ')])
  const secrets = [...credentials, ...sent.flatMap(basicSecret), ...[...others, ...sent].filter(({ length }) => length >= SHORTEST)]
  return [...new Set(secrets.flatMap(formsOf))].filter((secret) => secret !== '')
}

/** A text as it is, in a form, in an address, in JSON and in base64; and each of them as it is logged. */
function formsOf (text: string): string[] {
  const bytes = Buffer.from(text)
  const forms = [text, new URLSearchParams({ _: text }).toString().slice(2), encodeURIComponent(bytes.toString()), JSON.stringify(text).slice(1, -1), bytes.toString('base64'), bytes.toString('base64url')]
  return [...forms, ...forms.map(inOneLine)]
}

function inOneLine (text: string): string {
  return text.replace(/[\p{C}\p{Z}]+/gu, ' ').trim()
}

/** The client secret in the credentials of RFC 6749 §2.3.1, as it is and as it is sent. */
function basicSecret (credentials: string): string[] {
  const [, encoded] = /^[^:]+:(.+)$/.exec(Buffer.from(credentials, 'base64').toString()) ?? []
  return encoded === undefined ? [] : [encoded, new URLSearchParams(`_=${encoded}`).get('_') ?? '']
}

/** A text that may be logged: printable, cut, and without what is or looks like a secret. */
export function masked (text: string, secrets: readonly string[], most: number): string {
  const longestFirst = [...secrets].sort((one, other) => other.length - one.length)
  const known = longestFirst.reduce((rest, secret) => rest.replaceAll(secret, MASK), inOneLine(text))
  const unknown = known.replace(/\beyJ[\w-]*(?:\.[\w-]*)*/g, MASK).replace(/[\w+/=~-]{16,}/g, (word) => isRandom(word) ? MASK : word)
  return unknown.length > most ? `${unknown.slice(0, most)}…` : unknown
}

/** Whether nobody need know this: it is one of these secrets, holds one, or looks like one itself. */
export function isSecret (text: string, secrets: readonly string[]): boolean {
  return secrets.some((secret) => text === secret || (secret.length >= SHORTEST && text.includes(secret))) || masked(text, [], text.length) !== text
}

/** Words have no digits, or are short. */
function isRandom (word: string): boolean {
  return word.split(/[-_]/).some((part) => part.length >= 32 || (part.length >= 12 && /\d/.test(part)))
}
