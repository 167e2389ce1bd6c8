import type { ServerResponse } from 'node:http'

/** What an endpoint says. An object is sent as JSON. */
export interface Answer {
  status: number
  headers: Record<string, string>
  body: object | string
}

/** How an answer goes over the wire. */
export type Delivery = (response: ServerResponse, answer: Answer) => void

export const send: Delivery = (response, answer) => {
  response.end(begin(response, answer))
}

/** As if the process had been killed: the client sees ECONNRESET. */
export const reset: Delivery = (response) => {
  response.socket?.resetAndDestroy()
}

export const silence: Delivery = () => {}

/** Sends the headers: the bytes that are left. */
export function begin (response: ServerResponse, { status, headers, body }: Answer): Buffer {
  const [type, text] = typeof body === 'string' ? ['text/html', body] : ['application/json', JSON.stringify(body)]
  const bytes = Buffer.from(text)
  response.writeHead(status, { 'content-type': type, 'content-length': bytes.length, ...headers })
  return bytes
}
