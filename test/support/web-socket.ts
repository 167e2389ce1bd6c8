import { once } from 'node:events'
import { WebSocket } from 'undici'
import type { Browser } from './browser.ts'

/** A WebSocket of a page: it comes with the cookies of its browser. */
export interface PageSocket {
  /** Sends a message, and waits for what comes back. */
  ask (message: string): Promise<string>
  close (): void
}

export async function openSocket ({ origin, header }: Browser, path: string): Promise<PageSocket> {
  const socket = new WebSocket(new URL(path, origin.replace('http', 'ws')), { headers: { cookie: header, origin } })
  const answers = new EventTarget()
  socket.addEventListener('message', ({ data }) => { answers.dispatchEvent(new CustomEvent('answer', { detail: String(data) })) })
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener('open', () => { resolve() })
    socket.addEventListener('error', () => { reject(new Error('The handshake was refused')) })
  })
  return {
    async ask (message) {
      const answer = once(answers, 'answer')
      socket.send(message)
      const [event]: unknown[] = await answer
      return event instanceof CustomEvent ? String(event.detail) : ''
    },
    close: () => { socket.close() }
  }
}
