/** What goes on behind the requests that began it: closing the app waits for it. */
export class Background {
  readonly #running = new Set<Promise<unknown>>()

  add (work: Promise<unknown>): void {
    const done = work.catch(() => { /* Whoever began it tells what came of it. */ }).finally(() => this.#running.delete(done))
    this.#running.add(done)
  }

  async settled (): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }
}
