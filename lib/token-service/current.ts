/**
 * A key or a secret, or a function that gives the current one. The function is called for every request that needs it, so
 * that what it gives can be exchanged without a restart; it may be async, and keeps its own cache where it needs one.
 */
export type Current<Value> = Value | (() => Value | Promise<Value>)

/** What is made of the current value, once as long as that stays the same. What is made of a constant is made at once, so that a wrong one fails the boot. */
export function ofCurrent<Value extends object | string, Made> (current: Current<Value>, make: (value: Value) => Made): () => Promise<Made> {
  if (!isFunction(current)) {
    const made = make(current)
    return async () => made
  }
  let last: { readonly value: Value, readonly made: Made } | undefined
  return async () => {
    const value = await current()
    if (last?.value !== value) last = { value, made: make(value) }
    return last.made
  }
}

function isFunction<Value> (current: Current<Value>): current is () => Value | Promise<Value> {
  return typeof current === 'function'
}
