import { begin, type Delivery } from '../../../lib/testing/provider/answer.ts'

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
