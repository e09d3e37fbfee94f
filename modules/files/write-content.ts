/** A source becomes a sealed draft, in constant memory. */
import { ContentSealer, HEADER_BYTES, SEALED_CHUNK_BYTES } from './sealed-content.ts'
import type { Draft } from './folder.ts'
import type { ContentKey } from './keys.ts'
import type { SealedContent } from './sealed-content.ts'

/** Sealed chunks that are gathered for one write. */
const CHUNKS_A_WRITE = 16

export interface WriteInit {
  readonly draft: Draft
  readonly key: ContentKey
  readonly salt: Uint8Array
  /** Runs what touches the disk. */
  readonly onDisk: <T>(work: () => Promise<T>) => Promise<T>
  /** Told how many bytes of the content there are before more are written; throws when they are too many. */
  readonly onSize: (size: number) => void
  readonly signal: AbortSignal
}

/** Reads `source` to its end and finishes the draft. @throws what `source`, `onSize` or the disk throws */
export async function writeContent(source: AsyncIterable<Uint8Array>, init: WriteInit): Promise<SealedContent> {
  const { draft, onDisk, onSize, signal } = init
  const sealer = new ContentSealer(init.key, init.salt)
  const batch = Buffer.allocUnsafeSlow(HEADER_BYTES + CHUNKS_A_WRITE * SEALED_CHUNK_BYTES)
  batch.set(sealer.header)
  let held = HEADER_BYTES
  const write = async (): Promise<void> => {
    await onDisk(async () => await draft.append(batch.subarray(0, held)))
    held = 0
  }
  const room = async (): Promise<Uint8Array> => {
    if (held + SEALED_CHUNK_BYTES > batch.byteLength) await write()
    held += SEALED_CHUNK_BYTES
    return batch.subarray(held - SEALED_CHUNK_BYTES, held)
  }
  for await (const bytes of untilAborted(source, signal)) {
    onSize(sealer.size + bytes.byteLength)
    for (let at = 0; at < bytes.byteLength;) {
      if (sealer.isFull) sealer.seal(await room())
      at += sealer.fill(bytes.subarray(at))
    }
  }
  const content = sealer.finish(await room())
  await write()
  await onDisk(async () => await draft.finish())
  signal.throwIfAborted()
  return content
}

/** What `source` gives; a wait for more ends when `signal` aborts, and the source is told. */
async function* untilAborted(source: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  signal.throwIfAborted()
  let cut: (reason: Error) => void = () => undefined
  const onAbort = (): void => cut(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  const iterator = source[Symbol.asyncIterator]()
  let isOver = false
  try {
    for (;;) {
      signal.throwIfAborted()
      // A promise of its own for each piece: a race against one that lives long would keep all pieces.
      const next = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        cut = reject
        iterator.next().then(resolve, reject)
      })
      if (next.done === true) {
        isOver = true
        return
      }
      yield next.value
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
    // Not awaited: a source that waits for ever would keep us as long.
    if (!isOver) iterator.return?.().catch(() => undefined)
  }
}
