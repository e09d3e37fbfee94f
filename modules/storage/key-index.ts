/** The keys of one namespace in order, in memory only: what makes range reads possible over keys nobody can read. */

/** A record as it lies on disk now. Never changed, only replaced: a copy of the list is a snapshot. */
export interface IndexEntry {
  readonly key: string
  readonly generation: number
  readonly salt: Uint8Array
  readonly counter: number
  /** Bytes of key and value. */
  readonly bytes: number
  /** Milliseconds since 1970; 0: never. */
  readonly expiresAtMs: number
}

export interface IndexRange {
  readonly prefix?: string
  readonly after?: string
  readonly reverse?: boolean
  readonly limit: number
}

/** A sorted array: appending is cheap, inserting moves what follows by memmove. Loads are sorted once, at the end. */
export class KeyIndex {
  #entries: IndexEntry[] = []

  get size(): number {
    return this.#entries.length
  }

  /** Takes the place of everything; keys may come in any order, each once. */
  load(entries: Iterable<IndexEntry>): void {
    this.#entries = [...entries].sort((a, b) => (a.key < b.key ? -1 : 1))
  }

  get(key: string): IndexEntry | null {
    const entry = this.#entries[lowerBound(this.#entries, key)]
    return entry?.key === key ? entry : null
  }

  set(entry: IndexEntry): void {
    const at = lowerBound(this.#entries, entry.key)
    this.#entries.splice(at, this.#entries[at]?.key === entry.key ? 1 : 0, entry)
  }

  delete(key: string): void {
    const at = lowerBound(this.#entries, key)
    if (this.#entries[at]?.key === key) this.#entries.splice(at, 1)
  }

  /** The list as it is now; it does not change when the index does. */
  frozen(): readonly IndexEntry[] {
    return this.#entries.slice()
  }

  values(): Iterable<IndexEntry> {
    return this.#entries
  }
}

/** At most `limit` entries of a sorted list. */
export function* entriesIn(
  sorted: readonly IndexEntry[],
  { prefix = '', after, reverse = false, limit }: IndexRange,
): Generator<IndexEntry> {
  let low = lowerBound(sorted, prefix)
  let high = low
  if (prefix === '') high = sorted.length
  else high = firstOutside(sorted, prefix, low)
  if (after !== undefined) {
    const at = lowerBound(sorted, after)
    if (reverse) high = Math.min(high, at)
    else low = Math.max(low, sorted[at]?.key === after ? at + 1 : at)
  }
  const count = Math.min(limit, high - low)
  for (let i = 0; i < count; i++) {
    const entry = sorted[reverse ? high - 1 - i : low + i]
    if (entry !== undefined) yield entry
  }
}

/** Where the first key stands that is not before `key`. */
function lowerBound(sorted: readonly IndexEntry[], key: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const entry = sorted[middle]
    if (entry !== undefined && entry.key < key) low = middle + 1
    else high = middle
  }
  return low
}

/** Where the keys with `prefix` end, which begin at `from`. */
function firstOutside(sorted: readonly IndexEntry[], prefix: string, from: number): number {
  let low = from
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle]?.key.startsWith(prefix) === true) low = middle + 1
    else high = middle
  }
  return low
}
