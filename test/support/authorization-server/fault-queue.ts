import type { Answer, Delivery } from './answer.ts'
import type { Endpoint } from './request-log.ts'
import type { Signer } from './signer.ts'

/** What goes wrong with a request. Each part alone is a fault, and they combine. */
export interface Fault {
  /** The answer without any processing: nothing is checked, spent or issued. */
  instead?: () => Answer
  /** Changes the answer after the processing. */
  alter?: (answer: Answer, signer: Signer) => Answer | Promise<Answer>
  /** How the answer goes over the wire. */
  deliver?: Delivery
}

const none: Fault = {}

export class FaultQueue {
  #queue: { fault: Fault, endpoint: Endpoint, times: number }[] = []

  add (fault: Fault, times: number, endpoint: Endpoint): void {
    this.#queue.push({ fault, endpoint, times })
  }

  /** The fault that the next request at an endpoint meets. What spoils all token requests spoils probes, too. */
  next (endpoint: Endpoint): Fault {
    const found = this.#queue.find((each) => (each.endpoint === endpoint && each.times > 0) || (endpoint === 'probe' && each.endpoint === 'token' && each.times === Infinity))
    if (!found) return none
    found.times--
    return found.fault
  }

  clear (): void {
    this.#queue = []
  }
}
