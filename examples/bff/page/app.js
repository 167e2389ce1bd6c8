/* global fetch */

/**
 * Asks the app for something. The header is what no page of another site can send, and the app wants it.
 *
 * @returns status (0: no answer at all), body, the process that has answered, and in how many seconds to try again.
 */
export async function ask (path, init = {}) {
  try {
    // Calls of one address wait for each other where the browser might keep the answer: not so with `no-store`.
    const response = await fetch(path, { cache: 'no-store', ...init, headers: { ...init.headers, 'x-csrf': '1' } })
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.startsWith('application/json')
    return {
      status: response.status,
      body: isJson ? JSON.parse(text) : null,
      process: response.headers.get('x-process'),
      retryAfter: Number(response.headers.get('retry-after') ?? 1)
    }
  } catch {
    return { status: 0, body: null, process: null, retryAfter: 1 }
  }
}

export async function send (method, path, body) {
  return await ask(path, { method, ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }) })
}
