/**
 * Has V8 collect the young generation for received bytes that were handed over in memory of their own.
 *
 * V8 sees the small objects that stand for such memory and never fills its young generation with them; it counts the
 * bytes for the old one, whose collections look at the whole heap: two for every 64 MiB received, a third of the
 * processor. A young one costs about 0.2 ms, finds nearly all of that memory dead, and the next bytes come into memory
 * that is still in the processor's cache.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Below half of what makes V8 begin a full collection in a heap of 15 MB. */
export const COLLECT_EVERY_BYTES = 4 * 1024 * 1024

export type CollectYoung = (options: { readonly type: 'minor' }) => unknown

export class YoungCollection {
  #handedOverBytes = 0
  readonly #find: () => CollectYoung | null
  #collect: CollectYoung | null | undefined

  constructor(find: () => CollectYoung | null = collector) {
    this.#find = find
  }

  /** `byteLength` more bytes are the receiver's. May collect before it returns. */
  note(byteLength: number): void {
    this.#handedOverBytes += byteLength
    if (this.#handedOverBytes < COLLECT_EVERY_BYTES) return
    this.#handedOverBytes = 0
    if (this.#collect === undefined) this.#collect = this.#find()
    this.#collect?.({ type: 'minor' })
  }
}

/** Of this environment: there is one young generation. */
export const youngCollection = new YoungCollection()

/** `null` where V8 has no such function, or nobody may ask for it: V8 then decides alone. */
function collector(): CollectYoung | null {
  try {
    setFlagsFromString('--expose-gc')
    const collect: unknown = runInNewContext('typeof gc === "function" ? gc : null')
    // What is compiled and kept for the next start is kept for these flags.
    setFlagsFromString('--no-expose-gc')
    return collect as CollectYoung | null
  } catch {
    return null
  }
}
