/** The keys of one namespace in order, in memory only: what makes range reads possible over keys nobody can read. */

/** A record as it lies on disk now. Never changed, only replaced. */
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
}

/** One state of an index. */
export interface FrozenIndex {
  get(key: string): IndexEntry | null
  /** In order of key. */
  entries(range?: IndexRange): Generator<IndexEntry>
}

/** Entries of a chunk; one that is full is split in two. */
const MAX_CHUNK = 512

/**
 * A sorted list in chunks, so that no change moves more than one of them. Chunks that a frozen index holds as well are
 * copied before they are changed: freezing costs one pointer for a few hundred entries, however often it is done.
 */
export class KeyIndex {
  #chunks: IndexEntry[][] = []
  /** Chunks that only this index holds. */
  #own = new WeakSet<IndexEntry[]>()
  #frozen: FrozenIndex | null = null
  /** How many entries each generation of keys has. */
  readonly #generations = new Map<number, number>()

  get size(): number {
    return [...this.#generations.values()].reduce((total, count) => total + count, 0)
  }

  /** Entries of generations before this one. */
  olderThan(generation: number): number {
    let older = 0
    for (const [one, count] of this.#generations) if (one < generation) older += count
    return older
  }

  /** Takes the place of everything; `sorted` by key, each key once. */
  load(sorted: readonly IndexEntry[]): void {
    this.#chunks = []
    // Half full: room for what comes.
    for (let at = 0; at < sorted.length; at += MAX_CHUNK / 2) this.#chunks.push(sorted.slice(at, at + MAX_CHUNK / 2))
    this.#own = new WeakSet(this.#chunks)
    this.#frozen = null
    this.#generations.clear()
    for (const entry of sorted) this.#count(entry, 1)
  }

  get(key: string): IndexEntry | null {
    return found(this.#chunks, key)
  }

  set(entry: IndexEntry): void {
    if (this.#chunks.length === 0) return this.load([entry])
    const at = chunkOf(this.#chunks, entry.key)
    const chunk = this.#changeable(at)
    const place = lowerBound(chunk, entry.key)
    const before = chunk[place]
    if (before?.key === entry.key) {
      chunk[place] = entry
      this.#count(before, -1)
      this.#count(entry, 1)
      return
    }
    chunk.splice(place, 0, entry)
    this.#count(entry, 1)
    if (chunk.length <= MAX_CHUNK) return
    // Keys often come in order: then the full half is not touched again, and the new one fills up.
    const rest = chunk.splice(place === chunk.length - 1 ? MAX_CHUNK : MAX_CHUNK / 2)
    this.#own.add(rest)
    this.#chunks.splice(at + 1, 0, rest)
  }

  delete(key: string): void {
    const before = this.get(key)
    if (before === null) return
    const at = chunkOf(this.#chunks, key)
    const chunk = this.#changeable(at)
    chunk.splice(lowerBound(chunk, key), 1)
    if (chunk.length === 0) this.#chunks.splice(at, 1)
    this.#count(before, -1)
  }

  /** The index as it is now; it does not change when the index does. */
  frozen(): FrozenIndex {
    if (this.#frozen !== null) return this.#frozen
    const chunks = this.#chunks.slice()
    this.#own = new WeakSet()
    this.#frozen = {
      get: (key) => found(chunks, key),
      entries: (range) => entriesIn(chunks, range),
    }
    return this.#frozen
  }

  *values(): Generator<IndexEntry> {
    for (const chunk of this.#chunks) yield* chunk
  }

  #count({ generation }: IndexEntry, by: 1 | -1): void {
    const count = (this.#generations.get(generation) ?? 0) + by
    if (count === 0) this.#generations.delete(generation)
    else this.#generations.set(generation, count)
  }

  #changeable(at: number): IndexEntry[] {
    this.#frozen = null
    const chunk = this.#chunks[at] ?? []
    if (this.#own.has(chunk)) return chunk
    const copy = chunk.slice()
    this.#own.add(copy)
    this.#chunks[at] = copy
    return copy
  }
}

type Chunks = readonly (readonly IndexEntry[])[]

function found(chunks: Chunks, key: string): IndexEntry | null {
  const chunk = chunks[chunkOf(chunks, key)] ?? []
  const entry = chunk[lowerBound(chunk, key)]
  return entry?.key === key ? entry : null
}

function* entriesIn(chunks: Chunks, { prefix = '', after, reverse = false }: IndexRange = {}): Generator<IndexEntry> {
  if (reverse) {
    const isBelow = ({ key }: IndexEntry): boolean =>
      (after === undefined || key < after) && (key < prefix || key.startsWith(prefix))
    let at = firstWhere(chunks, ([first]) => first !== undefined && !isBelow(first)) - 1
    for (; at >= 0; at--) {
      const chunk = chunks[at] ?? []
      for (let i = firstWhere(chunk, (entry) => !isBelow(entry)) - 1; i >= 0; i--) {
        const entry = chunk[i]
        if (entry === undefined || !entry.key.startsWith(prefix)) return
        yield entry
      }
    }
    return
  }
  const start = after !== undefined && after > prefix ? after : prefix
  let at = chunkOf(chunks, start)
  let i = lowerBound(chunks[at] ?? [], start)
  for (; at < chunks.length; at++, i = 0) {
    const chunk = chunks[at] ?? []
    for (; i < chunk.length; i++) {
      const entry = chunk[i]
      if (entry === undefined || !entry.key.startsWith(prefix)) return
      if (entry.key !== after) yield entry
    }
  }
}

/** The chunk in which `key` is or would be: the last that does not begin behind it. */
function chunkOf(chunks: Chunks, key: string): number {
  return Math.max(0, firstWhere(chunks, ([first]) => first !== undefined && first.key > key) - 1)
}

/** Where the first key stands that is not before `key`. */
function lowerBound(sorted: readonly IndexEntry[], key: string): number {
  return firstWhere(sorted, (entry) => entry.key >= key)
}

/** The first of `sorted` for which `isBehind` holds, as it does for all behind it; their number when there is none. */
function firstWhere<T>(sorted: readonly T[], isBehind: (item: T) => boolean): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const item = sorted[middle]
    if (item !== undefined && isBehind(item)) high = middle
    else low = middle + 1
  }
  return low
}
