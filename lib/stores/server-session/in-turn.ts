/** Runs what concerns one key one after the other, in the order in which it was asked for. */
export type InTurn = <Result>(key: string, run: () => Promise<Result>) => Promise<Result>

/** A queue for each key, which is gone when it is empty. */
export function createTurns (): InTurn {
  const last = new Map<string, Promise<unknown>>()
  return async (key, run) => {
    const turn = (last.get(key) ?? Promise.resolve()).then(run, run)
    last.set(key, turn)
    try {
      return await turn
    } finally {
      if (last.get(key) === turn) last.delete(key)
    }
  }
}
