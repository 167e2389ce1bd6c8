import { PassThrough, type Readable } from 'node:stream'

/** A line of the page's live list: what happened at the token service. Never a token: the browser reads this. */
export interface Entry {
  /** Whose it is: the plugin's, or that of the refresh that is written by hand. */
  by: 'plugin' | 'hand'
  /** Which process it was, where there are several. */
  process?: number | undefined
  what: 'login' | 'refreshed' | 'refreshFailed' | 'sessionEnded'
  milliseconds?: number
  /** How many requests waited for it. */
  requests?: number
  reason?: string
  /** How long the new access token lives, in seconds; the end is since the epoch. */
  token?: { expiresAt: number, lifetime: number }
}

const remembered = 500

/** Keeps what happened, and streams it as server-sent events to the session that it happened to. */
export function liveList () {
  const lines: Array<{ sessionId: string, line: string }> = []
  const streams = new Map<PassThrough, string>()

  return {
    add (sessionId: string, entry: Entry): void {
      const line = `data: ${JSON.stringify({ at: Date.now(), ...entry })}\n\n`
      lines.push({ sessionId, line })
      if (lines.length > remembered) lines.shift()
      for (const [stream, reader] of streams) {
        if (reader === sessionId) stream.write(line)
      }
    },

    follow (sessionId: string): Readable {
      const stream = new PassThrough()
      streams.set(stream, sessionId)
      stream.on('close', () => streams.delete(stream))
      // Something to begin with, for no headers are sent before the first byte.
      stream.write('retry: 1000\n\n')
      for (const { sessionId: owner, line } of lines) {
        if (owner === sessionId) stream.write(line)
      }
      return stream
    },

    end (): void {
      for (const stream of streams.keys()) stream.end()
    }
  }
}
