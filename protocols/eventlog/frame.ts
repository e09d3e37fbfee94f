/** How entries lie in a segment, and what a segment says of itself. spec/NZ-LOG-01.md §3. */
import { z } from 'zod'
import { SEAL_OVERHEAD_BYTES } from '../sealed/sealed.ts'
import { ENTRY_FIXED_BYTES, HASH_BYTES, MAX_PAYLOAD_BYTES, UID_BYTES } from './entry.ts'

/** type u8 · length u32 */
export const FRAME_HEAD_BYTES = 5
export const MAX_SEALED_BYTES = SEAL_OVERHEAD_BYTES + ENTRY_FIXED_BYTES + MAX_PAYLOAD_BYTES
const LOG_ID_BYTES = 16

/** `s` opens a segment, `e` is an entry, `g` says which entries are lost for ever. */
export const frameTypes = { start: 0x73, entry: 0x65, gap: 0x67 } as const
export type FrameType = keyof typeof frameTypes

const HEAD_TYPE = 0x68

export function encodeFrame(type: FrameType, sealed: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_HEAD_BYTES + sealed.byteLength)
  frame[0] = frameTypes[type]
  new DataView(frame.buffer).setUint32(1, sealed.byteLength)
  frame.set(sealed, FRAME_HEAD_BYTES)
  return frame
}

/** Type and length of a frame; `null` when no frame begins so. Says nothing of what follows. */
export function decodeFrameHead(bytes: Uint8Array): { readonly type: FrameType; readonly length: number } | null {
  if (bytes.byteLength < FRAME_HEAD_BYTES) return null
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(1)
  if (length <= SEAL_OVERHEAD_BYTES || length > MAX_SEALED_BYTES) return null
  for (const type of ['entry', 'start', 'gap'] as const) if (bytes[0] === frameTypes[type]) return { type, length }
  return null
}

/** Where a frame belongs; what was sealed for one place opens at no other. */
export function framePlace(type: FrameType, logId: Uint8Array, segment: number): Uint8Array {
  const place = new Uint8Array(1 + LOG_ID_BYTES + 4)
  place[0] = frameTypes[type]
  place.set(logId, 1)
  new DataView(place.buffer).setUint32(1 + LOG_ID_BYTES, segment)
  return place
}

export function headPlace(logId: Uint8Array): Uint8Array {
  const place = new Uint8Array(1 + LOG_ID_BYTES)
  place[0] = HEAD_TYPE
  place.set(logId, 1)
  return place
}

const count = z.number().int().min(0)
const hash = hexOfLength(HASH_BYTES)
const uid = hexOfLength(UID_BYTES)

const SegmentStart = z.strictObject({
  name: z.string().max(64),
  uid,
  segment: count,
  /** Sequence of the first entry that it holds or will hold. */
  first: count,
  /** What that entry has for its predecessor. */
  previous: hash,
  atMs: count,
})
export type SegmentStart = z.infer<typeof SegmentStart>

/** Entries `from` to `to` are lost; the next one has the predecessor `previous`. */
const GapStatement = z.strictObject({ from: count, to: count, previous: hash })
export type GapStatement = z.infer<typeof GapStatement>

/** What was acknowledged last, and where the log begins. */
const LogHead = z.strictObject({
  name: z.string().max(64),
  uid,
  /** One more for each time a head was written. */
  writes: count,
  /** The last entry and its hash. */
  sequence: count,
  hash,
  /** The segment that holds it, and where it ends there. */
  segment: count,
  end: count,
  /** The oldest segment that is kept. */
  first: z.strictObject({ segment: count, sequence: count, previous: hash }),
})
export type LogHead = z.infer<typeof LogHead>

/** Kept outside of the log's folder: how far it had come. */
const LogWitness = z.strictObject({ uid, sequence: count, hash, segment: count })
export type LogWitness = z.infer<typeof LogWitness>

export const decodeSegmentStart = decoderOf(SegmentStart)
export const decodeGap = decoderOf(GapStatement)
export const decodeLogHead = decoderOf(LogHead)
export const decodeWitness = decoderOf(LogWitness)

export function encodeStatement(value: SegmentStart | GapStatement | LogHead | LogWitness): Uint8Array {
  return Buffer.from(JSON.stringify(value), 'utf8')
}

function decoderOf<T>(schema: z.ZodType<T>): (bytes: Uint8Array) => T | null {
  return (bytes) => {
    try {
      return schema.safeParse(JSON.parse(Buffer.from(bytes).toString('utf8'))).data ?? null
    } catch {
      // Not JSON: none of these.
      return null
    }
  }
}

function hexOfLength(bytes: number): z.ZodString {
  return z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`))
}
