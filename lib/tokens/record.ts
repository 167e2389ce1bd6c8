/** Whether this is a plain object, as JSON's top level usually is. */
export function isRecord (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Without the members, at any depth, that are `null` or empty text: they are as good as left out. */
export function withoutEmpty (record: Record<string, unknown>): Record<string, unknown> {
  const filled = Object.entries(record).filter(([, value]) => value !== null && value !== '')
  return Object.fromEntries(filled.map(([name, value]) => [name, isRecord(value) ? withoutEmpty(value) : value]))
}
