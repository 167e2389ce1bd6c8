/* global document, EventSource, fetch, requestAnimationFrame, setInterval, clearInterval */

// The page of the demo. It knows who is logged in and how long the token lives, and it never sees the token.

const element = (id) => document.getElementById(id)
const counts = { answered: 0, failed: 0, refreshes: 0 }
const answeredBy = new Map()
let expiresAt = 0
let loop
let leaving = false

start()

async function start () {
  const response = await fetch('/me')
  const { user, token, message } = await response.json()
  if (!response.ok) return problem(message)
  element('welcome').hidden = user !== null
  element('session').hidden = user === null
  element('logout').hidden = user === null
  if (user === null) return

  element('name').textContent = user.name
  showToken(token)
  tick()
  follow()
  element('once').addEventListener('click', callApi)
  element('ten').addEventListener('click', () => Promise.all(Array.from({ length: 10 }, callApi)))
  element('loop').addEventListener('click', toggleLoop)
  element('logout').addEventListener('submit', () => { leaving = true })
}

async function callApi () {
  try {
    // Calls of one address wait for each other where the browser might keep the answer: not so with `no-store`.
    const response = await fetch('/api/orders', { cache: 'no-store' })
    const answer = await response.json()
    if (response.status === 401) return logIn()
    if (!response.ok) throw new Error(answer.message ?? answer.error)
    count('answered')
    showProcess(answer.process)
    showToken(answer.token)
    showOrders(answer)
    problem('')
  } catch (error) {
    count('failed')
    problem(error.message)
  }
}

function toggleLoop () {
  if (loop === undefined) {
    callApi()
    loop = setInterval(callApi, 500)
  } else {
    loop = clearInterval(loop)
  }
  element('loop').setAttribute('aria-pressed', loop !== undefined)
  element('loop').textContent = loop === undefined ? 'Start a loop' : 'Stop the loop'
}

function follow () {
  const events = new EventSource('/events')
  // After a lost connection everything comes again.
  events.addEventListener('open', () => {
    element('events').replaceChildren()
    count('refreshes', 0)
  })
  events.addEventListener('message', (event) => {
    const entry = JSON.parse(event.data)
    element('events').prepend(line(entry))
    if (entry.what === 'refreshed') count('refreshes')
    if (entry.what === 'sessionEnded') logIn()
  })
}

/** Where the app runs in several processes: how often each has answered. */
function showProcess (number) {
  if (number === undefined) return
  answeredBy.set(number, (answeredBy.get(number) ?? 0) + 1)
  element('processes').hidden = false
  element('processes').textContent = [...answeredBy].sort(([a], [b]) => a - b).map(([process, answers]) => `process ${process}: ${answers}`).join(' · ')
}

function by ({ process }) {
  return process === undefined ? '' : ` by process ${process}`
}

const sentences = {
  login: () => 'Logged in: the code was redeemed for tokens',
  refreshed: ({ milliseconds, requests, ...entry }) => `Refreshed${by(entry)} in ${Math.round(milliseconds)} ms, ${waiting(requests)}`,
  refreshFailed: ({ milliseconds, requests, reason, ...entry }) => `Refresh failed${by(entry)} after ${Math.round(milliseconds)} ms (${reason}), ${waiting(requests)}`,
  sessionEnded: ({ reason }) => `Session ended (${reason})`
}

function waiting (requests) {
  return requests === 1 ? '1 request waited' : `${requests} requests waited`
}

function line (entry) {
  const item = document.createElement('li')
  item.dataset.what = entry.what
  const time = document.createElement('time')
  time.textContent = new Date(entry.at).toLocaleTimeString()
  item.append(time, sentences[entry.what](entry))
  return item
}

function showToken ({ secondsLeft, lifetime }) {
  expiresAt = Date.now() + secondsLeft * 1000
  element('bar').max = lifetime
}

function tick () {
  const left = Math.max(0, (expiresAt - Date.now()) / 1000)
  element('bar').value = left
  element('left').textContent = left > 0 ? `${left.toFixed(1)} s left` : 'expired: the next call refreshes it'
  requestAnimationFrame(tick)
}

function showOrders ({ customer, orders }) {
  element('caption').textContent = `Orders of ${customer}`
  element('orders').replaceChildren(...orders.map(({ number, item, price }) => {
    const row = document.createElement('tr')
    for (const text of [number, item, `€ ${price}`]) row.insertCell().textContent = text
    return row
  }))
}

function count (name, value = counts[name] + 1) {
  counts[name] = value
  element(name).textContent = value
}

function problem (text) {
  element('problem').hidden = text === ''
  element('what').textContent = text
}

// The session is over: the page starts again, and asks to log in. Not while it is on its way to the provider to log out
// there, for a reload would call that off.
function logIn () {
  if (!leaving) document.location.reload()
}
