import { createHash } from 'node:crypto'

/** What Redis does in one step (EVAL), on keys of one slot. */
export interface Script {
  readonly name: string
  readonly text: string
  readonly sha: string
}

/** A command of Redis itself. */
export interface PlainCommand {
  readonly name: string
  readonly text?: undefined
}

export function script (name: string, text: string): Script {
  return { name, text, sha: createHash('sha1').update(text).digest('hex') }
}
