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

export const headersThenSilence: Delivery = (response, answer) => {
  begin(response, answer)
  response.flushHeaders()
}

/** The body as these bytes, whatever they are, and with these headers. */
export function encoded (encode: (body: Buffer) => Buffer, headers: Record<string, string>): Delivery {
  return (response, { status, headers: others, body }) => {
    const bytes = encode(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)))
    response.writeHead(status, { ...others, 'content-type': 'application/json', 'content-length': bytes.length, ...headers })
    response.end(bytes)
  }
}

/** A byte now and then: never idle, and never done in time. */
export function drip (milliseconds: number): Delivery {
  return (response, answer) => {
    const bytes = begin(response, answer)
    let sent = 0
    const timer = setInterval(() => {
      response.write(bytes.subarray(sent, ++sent))
      if (sent < bytes.length) return
      clearInterval(timer)
      response.end()
    }, milliseconds)
    response.on('close', () => clearInterval(timer))
  }
}

function begin (response: ServerResponse, { status, headers, body }: Answer): Buffer {
  const [type, text] = typeof body === 'string' ? ['text/html', body] : ['application/json', JSON.stringify(body)]
  const bytes = Buffer.from(text)
  response.writeHead(status, { 'content-type': type, 'content-length': bytes.length, ...headers })
  return bytes
}
