import { once } from 'node:events'
import { CloseEvent, WebSocket } from 'undici'
import type { Browser } from './browser.ts'

/** A WebSocket of a page: it comes with the cookies of its browser. */
export interface PageSocket {
  /** Sends a message, and waits for what comes back. */
  ask (message: string): Promise<string>
  /** Sends a message, and waits for nothing. */
  send (message: string): void
  /** The code that the app closes it with. */
  readonly closed: Promise<number>
  close (): void
}

/** @param page - where the page is from; default: the app itself. */
export async function openSocket ({ origin, header }: Browser, path: string, page = { origin }): Promise<PageSocket> {
  const socket = new WebSocket(new URL(path, origin.replace('http', 'ws')), { headers: { cookie: header, ...page } })
  const answers = new EventTarget()
  socket.addEventListener('message', ({ data }) => { answers.dispatchEvent(new CustomEvent('answer', { detail: String(data) })) })
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener('open', () => { resolve() })
    socket.addEventListener('error', () => { reject(new Error('The handshake was refused')) })
  })
  const closed = once(socket, 'close').then(([event]: unknown[]) => event instanceof CloseEvent ? event.code : 0)
  return {
    closed,
    send: (message) => { socket.send(message) },
    async ask (message) {
      const answer = once(answers, 'answer')
      socket.send(message)
      const [event]: unknown[] = await answer
      return event instanceof CustomEvent ? String(event.detail) : ''
    },
    close: () => { socket.close() }
  }
}
