import type { Endpoint } from './request-log.ts'

/** Where requests wait until a test lets them go on. */
export class Gate {
  readonly #waiting: (() => void)[] = []
  readonly #watchers: { count: number, resolve: () => void }[] = []
  #arrivals = 0
  #admitted = 0

  /** How many requests wait here now. */
  get waiting (): number {
    return this.#waiting.length
  }

  /** Settles when `count` requests in all have come to this gate. */
  arrived (count = 1): Promise<void> {
    if (this.#arrivals >= count) return Promise.resolve()
    return new Promise((resolve) => this.#watchers.push({ count, resolve }))
  }

  /** Lets the next `count` requests go on, those that wait first; by default all, for good. */
  release (count = Infinity): void {
    this.#admitted += count
    while (this.#admitted > 0) {
      const next = this.#waiting.shift()
      if (!next) return
      this.#admitted--
      next()
    }
  }

  /** Lets the one at this place among those that wait go on; 0 came first. */
  admit (place: number): void {
    const [next] = this.#waiting.splice(place, 1)
    next?.()
  }

  pass (): Promise<void> {
    this.#arrivals++
    for (const { count, resolve } of this.#watchers) if (this.#arrivals >= count) resolve()
    if (this.#admitted > 0) {
      this.#admitted--
      return Promise.resolve()
    }
    return new Promise((resolve) => this.#waiting.push(resolve))
  }
}

/** What a gate holds up: requests before they are processed, or their answers after it. */
export interface HoldOptions { endpoint?: Endpoint, what?: 'requests' | 'answers' }

export class Gates {
  readonly #gates: { gate: Gate, endpoint: Endpoint, what: 'requests' | 'answers' }[] = []

  add ({ endpoint = 'token', what = 'requests' }: HoldOptions = {}): Gate {
    const gate = new Gate()
    this.#gates.push({ gate, endpoint, what })
    return gate
  }

  async pass (endpoint: Endpoint, what: 'requests' | 'answers'): Promise<void> {
    for (const each of this.#gates) if (each.endpoint === endpoint && each.what === what) await each.gate.pass()
  }

  releaseAll (): void {
    for (const { gate } of this.#gates) gate.release()
  }
}
