/* global matchMedia, requestAnimationFrame, setInterval */

const isCalm = matchMedia('(prefers-reduced-motion: reduce)').matches

/** What is left of an access token, as a bar that runs out. The page knows when it ends, and never the token. */
export class TokenLife {
  #bar
  #left
  #expiresAt

  constructor (root) {
    this.#bar = root.querySelector('progress')
    this.#left = root.querySelector('.left')
    if (isCalm) setInterval(() => this.#show(), 1000)
    else this.#tick()
  }

  /** Times in seconds; the end is since the epoch, by the clock of this machine, on which the app runs too. */
  begin ({ expiresAt, lifetime }) {
    this.#expiresAt = expiresAt
    this.#bar.max = lifetime
    this.#show()
  }

  #tick () {
    this.#show()
    requestAnimationFrame(() => this.#tick())
  }

  #show () {
    if (this.#expiresAt === undefined) return
    const left = Math.max(0, this.#expiresAt - Date.now() / 1000)
    this.#bar.value = left
    const text = left > 0 ? `${left.toFixed(isCalm ? 0 : 1)} s left` : 'expired'
    if (this.#left.textContent !== text) this.#left.textContent = text
  }
}
