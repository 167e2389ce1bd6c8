import { RefreshFailure } from '../../lib/refresh/failure.ts'

/** The pause that an entrance throws; fails where it lets one in. */
export async function retryAfterOf (enter: () => unknown): Promise<number> {
  try {
    await enter()
  } catch (error) {
    if (error instanceof RefreshFailure && error.retryAfter !== undefined) return error.retryAfter
    throw error
  }
  throw new Error('nobody is kept waiting')
}
