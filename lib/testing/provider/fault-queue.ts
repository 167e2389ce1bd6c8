import type { Answer, Delivery } from './answer.ts'
import type { Endpoint, RequestRecord } from './request-log.ts'
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
  #queue: { fault: Fault, endpoint: Endpoint, times: number, isMeant?: ((record: RequestRecord) => boolean) | undefined }[] = []

  add (fault: Fault, times: number, endpoint: Endpoint, isMeant?: (record: RequestRecord) => boolean): void {
    this.#queue.push({ fault, endpoint, times, isMeant })
  }

  /** The fault that a request meets. What spoils all token requests spoils probes, too. */
  next (record: RequestRecord): Fault {
    const found = this.#queue.find(({ endpoint, times, isMeant = () => true }) =>
      times > 0 && isMeant(record) && (endpoint === record.endpoint || (record.endpoint === 'probe' && endpoint === 'token' && times === Infinity)))
    if (!found) return none
    found.times--
    return found.fault
  }

  clear (): void {
    this.#queue = []
  }
}
