/* global document */
import { ask, send } from './app.js'
import { link } from './verdicts.js'

const names = ['down', 'slow']
const buttons = Object.fromEntries(names.map((name) => [name, document.getElementById(name)]))
let revoked = false
const status = document.getElementById('broke')

/** What is broken at the identity provider, and how to break it. */
export async function startSwitches () {
  for (const name of names) buttons[name].addEventListener('click', () => turn(name, !isOn(name)))
  document.getElementById('revoke').addEventListener('click', revoke)
  show(await ask('/switches'))
}

export async function turn (name, value) {
  const wanted = Object.fromEntries(names.map((each) => [each, each === name ? value : isOn(each)]))
  show(await send('PUT', '/switches', wanted))
}

export function isOn (name) {
  return buttons[name].ariaChecked === 'true'
}

export function isRevoked () {
  return revoked
}

function show ({ status: code, body }) {
  if (code !== 200) return say('The app does not answer. Is it still running? Then try again.')
  for (const name of names) buttons[name].ariaChecked = String(body[name])
  if (body.down) say('The token service answers 503. Tokens that are still valid go on being used.')
  else if (body.slow) say('The token service takes three seconds for each answer.')
  else say('All is well at the identity provider.')
}

async function revoke () {
  const { status: code } = await send('POST', '/revocations')
  revoked ||= code === 204
  if (code === 204) say('Revoked. The access tokens in hand work until they expire; their refresh will fail.')
  else if (code === 401) say('There is no session to revoke any more. ', link('Log in again', '/auth/login?returnTo=/login'))
  else if (code === 503) say('Not revoked: that needs a current token, and the token service is down. Bring it back first.')
  else say('Not revoked: the app does not answer. Is it still running? Then try again.')
}

function say (...content) {
  status.replaceChildren(...content)
}
