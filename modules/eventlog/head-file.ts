/** The head of a log: two places that are written in turn, so that one is whole whatever happens. NZ-LOG-01 §4. */
import { open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { FileHandle } from 'node:fs/promises'
import { isErrno } from '../../kernel/index.ts'
import { decodeLogHead, encodeStatement, headPlace } from '../../protocols/eventlog/frame.ts'
import { sealWith, unsealWith } from '../../protocols/sealed/sealed.ts'
import { GENERATION } from './keys.ts'
import { HEAD_FILE, writeAll, writeNewFile } from './segment-file.ts'
import type { LogHead } from '../../protocols/eventlog/frame.ts'
import type { SealCounter } from '../../protocols/sealed/sealed.ts'
import type { LogKeys } from './keys.ts'

/** One place: length u16 · sealed head · zeros. Places are whole blocks: a torn write hurts one of them. */
const PLACE_BYTES = 4_096
const PLACES = 2

export interface HeadFileServices {
  readonly keys: LogKeys
  readonly logId: Uint8Array
  readonly counter: SealCounter
}

export interface FoundHead {
  /** The latest that opens. */
  readonly head: LogHead | null
  /** Whether both places are as they were written. */
  readonly isWhole: boolean
}

/** What the file says; `head` is `null` when it is missing or nothing in it opens. */
export async function readHead(dir: string, services: Omit<HeadFileServices, 'counter'>): Promise<FoundHead> {
  let handle
  try {
    handle = await open(join(dir, HEAD_FILE), 'r')
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return { head: null, isWhole: false }
    throw error
  }
  try {
    const bytes = Buffer.alloc(PLACE_BYTES * PLACES)
    const { bytesRead } = await handle.read(bytes, 0, bytes.byteLength, 0)
    const heads = [0, 1].map((at) =>
      headAt(bytes.subarray(0, bytesRead).subarray(at * PLACE_BYTES, (at + 1) * PLACE_BYTES), at, services),
    )
    const latest = heads.reduce<LogHead | null>(
      (best, head) => (head !== null && (best === null || head.writes > best.writes) ? head : best),
      null,
    )
    return { head: latest, isWhole: heads.every((head) => head !== null) }
  } finally {
    await handle.close()
  }
}

/** Writes `head` into its place; durable when it resolves. */
export async function writeHead(handle: FileHandle, head: LogHead, services: HeadFileServices): Promise<void> {
  await writeAll(handle, placeOf(head, services), (head.writes % PLACES) * PLACE_BYTES)
  await handle.datasync()
}

/** A head file with `head` in both places, durable but for its name. Answers with the head that the next one follows. */
export async function replaceHead(dir: string, head: LogHead, services: HeadFileServices): Promise<LogHead> {
  const next = { ...head, writes: head.writes + 1 }
  const places = [head, next].toSorted((a, b) => (a.writes % PLACES) - (b.writes % PLACES))
  const aside = join(dir, `${HEAD_FILE}.tmp`)
  await writeNewFile(aside, Buffer.concat(places.map((one) => placeOf(one, services))))
  await rename(aside, join(dir, HEAD_FILE))
  return next
}

function placeOf(head: LogHead, { keys, logId, counter }: HeadFileServices): Uint8Array {
  const sealed = sealWith(({ generation, salt }) => keys.sealing('head', generation, salt), counter.take(GENERATION), {
    place: headPlace(logId),
    plaintext: encodeStatement(head),
  })
  const place = Buffer.alloc(PLACE_BYTES)
  place.writeUInt16BE(sealed.byteLength)
  place.set(sealed, 2)
  return place
}

function headAt(place: Uint8Array, at: number, { keys, logId }: Omit<HeadFileServices, 'counter'>): LogHead | null {
  if (place.byteLength < 2) return null
  const length = new DataView(place.buffer, place.byteOffset).getUint16(0)
  if (2 + length > place.byteLength) return null
  const sealed = place.subarray(2, 2 + length)
  const opened = unsealWith(({ generation, salt }) => keys.sealing('head', generation, salt), sealed, headPlace(logId))
  const head = opened === null ? null : decodeLogHead(opened.plaintext)
  return head !== null && head.writes % PLACES === at ? head : null
}
