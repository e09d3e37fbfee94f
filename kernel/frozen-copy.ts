/** Copies of plain data that nobody can change for somebody else. */

/** Data is not nested more deeply; what is deeper is kept as it is, so a cycle comes to an end. */
const maxDepth = 32

/**
 * A deeply frozen copy of objects, arrays and primitives. Bytes are copied (they cannot be frozen); instances of
 * other classes are kept as they are.
 */
export function frozenCopy(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null || depth > maxDepth) return value
  if (Array.isArray(value)) return Object.freeze(value.map((item) => frozenCopy(item, depth + 1)))
  if (value instanceof Uint8Array) return Uint8Array.from(value)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return value
  const entries = Object.entries(value).map(([key, item]) => [key, frozenCopy(item, depth + 1)])
  return Object.freeze(Object.fromEntries(entries))
}
