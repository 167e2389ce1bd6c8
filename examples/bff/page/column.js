/* global document, setTimeout, clearTimeout */
import { ask } from './app.js'
import { sentenceOf } from './sentences.js'
import { TokenLife } from './token-life.js'

const shown = 10

/** One side of the page: calls one address, and shows what became of it. */
export class Column {
  #root
  #path
  #judge
  #counts = { answered: 0, failed: 0, refreshes: 0 }
  #answeredBy = new Map()
  #life
  #next = 0
  /** The calls that are judged together, with their answers as they come in. */
  #batch = { size: 0, answers: [] }
  #waiting

  /** @param judge - says of the answers of some calls what they mean: `{ is, text, way }`; see verdicts.js. */
  constructor (root, { title, about, path, judge }) {
    this.#root = root
    this.#path = path
    this.#judge = judge
    root.append(document.getElementById('column').content.cloneNode(true))
    this.#one('h2').textContent = title
    this.#one('.hint').textContent = about
    this.#one('.events').ariaLabel = `What happened at the token service, the latest first: ${title}`
    this.#one('.calls').append(...Array.from({ length: shown }, () => document.createElement('li')))
    this.#life = new TokenLife(this.#one('.life'))
  }

  /** Calls so often at once; gives the answers. */
  async call (times) {
    if (this.#batch.answers.length === this.#batch.size) this.#batch = { size: 0, answers: [] }
    if (times >= shown) this.#clear()
    const batch = this.#batch
    batch.size += times
    // Only who waits for long is told so.
    clearTimeout(this.#waiting)
    this.#waiting = setTimeout(() => this.say({ is: 'waiting', text: batch.size === 1 ? 'Waiting for the answer.' : `Waiting for the answers to ${batch.size} calls.` }), 400)
    return await Promise.all(Array.from({ length: times }, () => this.#callOnce(batch)))
  }

  async #callOnce (batch) {
    const light = this.#one('.calls').children[this.#next++ % shown]
    light.dataset.is = 'waiting'
    const answer = await ask(this.#path)
    const isAnswered = answer.status === 200
    light.dataset.is = isAnswered ? 'answered' : 'failed'
    this.#count(isAnswered ? 'answered' : 'failed')
    if (answer.process !== null) this.#showProcess(answer.process)
    batch.answers.push(answer)
    if (batch.answers.length === batch.size) {
      clearTimeout(this.#waiting)
      this.say(this.#judge(batch.answers))
    }
    return answer
  }

  /** @param way - what to do about it, if anything: an element. */
  say ({ is, text, way }) {
    const verdict = this.#one('.verdict')
    verdict.dataset.is = is
    const sentence = verdict.querySelector('[role=status]')
    if (sentence.textContent !== text) sentence.textContent = text
    verdict.querySelector('.way').replaceChildren(...(way ? [way] : []))
  }

  /** Something has happened at the token service. */
  add (entry) {
    const item = document.createElement('li')
    item.dataset.what = entry.what
    const time = document.createElement('time')
    time.textContent = new Date(entry.at).toLocaleTimeString()
    item.append(time, sentenceOf(entry))
    this.#one('.events').prepend(item)
    if (entry.what === 'refreshed') this.#count('refreshes')
    if (entry.token !== undefined) this.#life.begin(entry.token)
  }

  /** Everything that has happened comes again. */
  forget () {
    this.#one('.events').replaceChildren()
    this.#count('refreshes', 0)
  }

  /** Where the app runs in several processes: how often each has answered. */
  showProcesses () {
    this.#one('.processes').hidden = false
  }

  #showProcess (number) {
    this.#answeredBy.set(number, (this.#answeredBy.get(number) ?? 0) + 1)
    this.showProcesses()
    this.#one('.processes').textContent = `Answered by ${[...this.#answeredBy].sort(([a], [b]) => a - b).map(([process, answers]) => `process ${process}: ${answers}`).join(' · ')}`
  }

  #clear () {
    this.#next = 0
    for (const light of this.#one('.calls').children) delete light.dataset.is
  }

  #count (name, value = this.#counts[name] + 1) {
    this.#counts[name] = value
    this.#one(`[data-count=${name}]`).textContent = value
  }

  #one (selector) {
    return this.#root.querySelector(selector)
  }
}
