/* global document, EventSource, setInterval, clearInterval, setTimeout */
import { ask, send } from './app.js'
import { Column } from './column.js'
import { isOn, isRevoked, startSwitches, turn } from './switches.js'
import { handVerdict, pluginVerdict } from './verdicts.js'

// The page of the demo. It knows who is logged in and how long the tokens live, and it never sees one.

const element = (id) => document.getElementById(id)
const retry = () => callBoth(1)
let columns
let loop
let leaving = false

start()

async function start () {
  const { status, body: session } = await ask('/auth/session')
  if (status !== 200) return broken(status)
  const isAnonymous = session === null
  element('welcome').hidden = !isAnonymous
  element('session').hidden = isAnonymous
  element('logout').hidden = isAnonymous
  if (isAnonymous) return

  element('name').textContent = session.claims.name
  element('logout').action = session.logoutPath
  element('logout').addEventListener('submit', logOut)
  columns = {
    plugin: new Column(element('plugin'), { title: 'With this plugin', about: 'All calls wait for one refresh.', path: '/api/orders', judge: pluginVerdict({ repair, retry, isDown: () => isOn('down'), loginPath: session.loginPath }) }),
    hand: new Column(element('hand'), { title: 'Written by hand', about: 'Each call refreshes by itself.', path: '/by-hand/orders', judge: handVerdict({ retry, isRevoked }) })
  }
  showOrders()
  follow()
  await Promise.all([startSwitches(), showCookie()])
  element('once').addEventListener('click', retry)
  element('ten').addEventListener('click', () => callBoth(10))
  element('loop').addEventListener('click', toggleLoop)
}

async function callBoth (times) {
  const [answers] = await Promise.all([columns.plugin.call(times), columns.hand.call(times)])
  const orders = answers.find(({ status }) => status === 200)?.body
  if (orders !== undefined) showOrders(orders)
  await showCookie()
}

function toggleLoop () {
  if (loop === undefined) {
    callBoth(1)
    loop = setInterval(callBoth, 500, 1)
  } else {
    loop = clearInterval(loop)
  }
  element('loop').ariaPressed = String(loop !== undefined)
  element('loop').textContent = loop === undefined ? 'Start a loop' : 'Stop the loop'
}

/** Turns the token service on again, and calls as soon as the app asks it again. */
async function repair (seconds) {
  if (isOn('down')) await turn('down', false)
  columns.plugin.say({ is: 'waiting', text: `Calling again in ${seconds} s, when the app asks the token service again.` })
  setTimeout(async () => {
    const [{ status, retryAfter }] = await columns.plugin.call(1)
    if (status === 503 && !isOn('down')) repair(retryAfter)
  }, seconds * 1000)
}

function follow () {
  const events = new EventSource('/events')
  // After a lost connection everything comes again.
  events.addEventListener('open', () => Object.values(columns).forEach((column) => column.forget()))
  events.addEventListener('message', ({ data }) => {
    const entry = JSON.parse(data)
    columns[entry.by].add(entry)
    // Logged out in another tab. Not while this page is on its way to the provider to log out there: a reload would call that off.
    if (entry.what === 'sessionEnded' && entry.reason === 'logout' && !leaving) document.location.reload()
  })
}

async function logOut (submission) {
  submission.preventDefault()
  leaving = true
  await send('DELETE', '/by-hand/session')
  element('logout').submit()
}

async function showCookie () {
  const { status, body: cookie, process } = await ask('/cookie')
  if (status !== 200) return
  if (process !== null) for (const column of Object.values(columns)) column.showProcesses()
  const facts = {
    'Session cookie': `${cookie.name}, ${cookie.bytes.toLocaleString('en')} bytes, sealed`,
    HttpOnly: cookie.httpOnly ? 'yes: no script reads it' : 'no',
    SameSite: cookie.sameSite,
    Path: cookie.path,
    Secure: cookie.secure ? 'yes' : 'no: the demo is plain http on loopback',
    'What scripts see': document.cookie === '' ? 'no cookie, no token' : document.cookie
  }
  element('facts').replaceChildren(...Object.entries(facts).map(([name, value]) => {
    const fact = document.createElement('div')
    fact.append(Object.assign(document.createElement('dt'), { textContent: name }), Object.assign(document.createElement('dd'), { textContent: value }))
    return fact
  }))
}

function showOrders ({ customer, orders } = { orders: Array(3).fill({ number: '–', item: '–' }) }) {
  if (customer !== undefined) element('caption').textContent = `Orders of ${customer}`
  element('orders').replaceChildren(...orders.map(({ number, item, price }) => {
    const row = document.createElement('tr')
    for (const text of [number, item, price === undefined ? '–' : `€ ${price}`]) row.insertCell().textContent = text
    return row
  }))
}

function broken (status) {
  element('what').textContent = status === 0
    ? 'Nobody listens at this address any more. Start the demo, and try again.'
    : `It answers ${status} when it is asked who is logged in. Nothing is lost: wait a moment, and try again.`
  element('broken').hidden = false
}
