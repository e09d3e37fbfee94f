/** Bytes of a sealed content, each chunk proven before it is given. */
import { createHash } from 'node:crypto'
import { Damage } from './content-store.ts'
import { CHUNK_BYTES, chunkPosition, chunksOf, giveBack, SEALED_CHUNK_BYTES } from './sealed-content.ts'
import { filesErrors } from './service.ts'
import type { Content, ContentStore, OpenContent } from './content-store.ts'
import type { ByteRange } from './service.ts'

/** Sealed chunks read at once: half a MiB. */
const CHUNKS_A_READ = 8

/** What `range` means for a content of `size`. @throws NZ_FILES_RANGE */
export function boundsOf(range: ByteRange | undefined, size: number): { readonly start: number; readonly end: number } {
  if (range === undefined) return { start: 0, end: size }
  if ('last' in range) {
    if (!Number.isSafeInteger(range.last) || range.last < 0) throw filesErrors.NZ_FILES_RANGE({ data: { size } })
    return { start: Math.max(0, size - range.last), end: size }
  }
  const { from, to = size } = range
  const isWhole = Number.isSafeInteger(from) && Number.isSafeInteger(to)
  if (!isWhole || from < 0 || from > to || from > size) throw filesErrors.NZ_FILES_RANGE({ data: { size } })
  return { start: from, end: Math.min(to, size) }
}

/** The sealed chunks `first` to `last` with their plaintext, in order. @throws Damage before a bad byte */
export async function* readChunks(
  store: ContentStore,
  { file, opener }: OpenContent,
  { first, last, signal }: { readonly first: number; readonly last: number; readonly signal: AbortSignal },
): AsyncGenerator<{ readonly index: number; readonly sealed: Uint8Array; readonly bytes: Uint8Array }> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNKS_A_READ, last - first + 1) * SEALED_CHUNK_BYTES)
  for (let at = first; at <= last; at += CHUNKS_A_READ) {
    signal.throwIfAborted()
    const chunks = Math.min(CHUNKS_A_READ, last - at + 1)
    const wanted = buffer.subarray(0, chunks * SEALED_CHUNK_BYTES)
    const position = chunkPosition(at)
    const length = await store.onDisk(async () => await file.readAt(wanted, position))
    for (let i = 0; i < chunks; i++) {
      const sealed = wanted.subarray(i * SEALED_CHUNK_BYTES, Math.min((i + 1) * SEALED_CHUNK_BYTES, length))
      const bytes = opener.open(at + i, sealed)
      if (bytes === null) throw new Damage(`its chunk ${at + i} does not open`)
      yield { index: at + i, sealed, bytes }
    }
  }
}

/** The bytes `start` to `end`: reads the chunks they lie in. @throws Damage before a bad byte */
export async function* readBytes(
  store: ContentStore,
  opened: OpenContent,
  { start, end, signal }: { readonly start: number; readonly end: number; readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array> {
  if (start === end) return
  const first = Math.floor(start / CHUNK_BYTES)
  const last = Math.floor((end - 1) / CHUNK_BYTES)
  for await (const { index, bytes } of readChunks(store, opened, { first, last, signal })) {
    const offset = index * CHUNK_BYTES
    yield bytes.subarray(Math.max(0, start - offset), Math.min(bytes.byteLength, end - offset))
  }
}

/** Reads all of it. @throws Damage, NZ_FILES_DISK_FAILED */
export async function proveContent(store: ContentStore, content: Content, signal: AbortSignal): Promise<void> {
  const opened = await store.open(content)
  try {
    const hash = createHash('sha256')
    const last = chunksOf(content.record.size) - 1
    for await (const { bytes } of readChunks(store, opened, { first: 0, last, signal })) {
      hash.update(bytes)
      giveBack(bytes)
    }
    if (hash.digest('hex') !== content.contentId) throw new Damage('its content has another SHA-256')
  } finally {
    await opened.file.close()
  }
}
