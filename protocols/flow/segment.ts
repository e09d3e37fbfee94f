/** What one packet of a session carries (NZ-ROUTING-01 §9.1). Integers are big-endian. */
import { MAX_RANGES, SEGMENT_BYTES } from './limits.ts'

/** From `from` up to, not including, `to`. */
export interface Range {
  readonly from: number
  readonly to: number
}

export type Segment =
  | {
      readonly type: 'data'
      readonly stream: number
      readonly offset: number
      /** The end of the stream comes after its bytes. */
      readonly isLast: boolean
      readonly bytes: Uint8Array
    }
  | {
      readonly type: 'ack'
      readonly stream: number
      /** All before it came; the end of the stream counts as one byte. */
      readonly next: number
      /** The sender may send bytes before it. */
      readonly limit: number
      /** What came behind `next`, ascending, apart from each other. */
      readonly ranges: readonly Range[]
    }
  | { readonly type: 'reset'; readonly stream: number }
  | { readonly type: 'resetSeen'; readonly stream: number }
  | { readonly type: 'probe'; readonly stamp: number }
  | { readonly type: 'echo'; readonly stamp: number }

const types = { data: 0, ack: 1, reset: 2, resetSeen: 3, probe: 4, echo: 5 } as const
const FLAG_LAST = 1
const OFFSET_BYTES = 6
const DATA_HEAD = 1 + 4 + 1 + OFFSET_BYTES
const ACK_HEAD = 1 + 4 + OFFSET_BYTES * 2 + 1
/** Longest segment. */
export const MAX_SEGMENT_BYTES = DATA_HEAD + SEGMENT_BYTES

export function encodeSegment(segment: Segment): Uint8Array {
  switch (segment.type) {
    case 'data': {
      const bytes = start(segment.type, DATA_HEAD + segment.bytes.length, segment.stream)
      bytes[5] = segment.isLast ? FLAG_LAST : 0
      bytes.writeUIntBE(segment.offset, 6, OFFSET_BYTES)
      bytes.set(segment.bytes, DATA_HEAD)
      return bytes
    }
    case 'ack': {
      const { ranges } = segment
      const bytes = start(segment.type, ACK_HEAD + ranges.length * OFFSET_BYTES * 2, segment.stream)
      bytes.writeUIntBE(segment.next, 5, OFFSET_BYTES)
      bytes.writeUIntBE(segment.limit, 11, OFFSET_BYTES)
      bytes[17] = ranges.length
      for (const [at, { from, to }] of ranges.entries()) {
        bytes.writeUIntBE(from, ACK_HEAD + at * 12, OFFSET_BYTES)
        bytes.writeUIntBE(to, ACK_HEAD + at * 12 + OFFSET_BYTES, OFFSET_BYTES)
      }
      return bytes
    }
    case 'reset':
    case 'resetSeen':
      return start(segment.type, 5, segment.stream)
    case 'probe':
    case 'echo': {
      const bytes = start(segment.type, 1 + OFFSET_BYTES, null)
      bytes.writeUIntBE(segment.stamp, 1, OFFSET_BYTES)
      return bytes
    }
  }
}

/** `null` for anything that is no segment. `bytes` of the segment are a view. */
export function decodeSegment(bytes: Uint8Array): Segment | null {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.length > MAX_SEGMENT_BYTES || view.length < 5) return null
  switch (view[0] ?? 0) {
    case types.data: {
      const flags = view[5] ?? 0
      if (view.length < DATA_HEAD || flags > FLAG_LAST) return null
      const offset = view.readUIntBE(6, OFFSET_BYTES)
      return {
        type: 'data',
        stream: view.readUInt32BE(1),
        offset,
        isLast: flags === FLAG_LAST,
        bytes: bytes.subarray(DATA_HEAD),
      }
    }
    case types.ack:
      return ackOf(view)
    case types.reset:
      return view.length === 5 ? { type: 'reset', stream: view.readUInt32BE(1) } : null
    case types.resetSeen:
      return view.length === 5 ? { type: 'resetSeen', stream: view.readUInt32BE(1) } : null
    case types.probe:
      return view.length === 1 + OFFSET_BYTES ? { type: 'probe', stamp: view.readUIntBE(1, OFFSET_BYTES) } : null
    case types.echo:
      return view.length === 1 + OFFSET_BYTES ? { type: 'echo', stamp: view.readUIntBE(1, OFFSET_BYTES) } : null
    default:
      return null
  }
}

function ackOf(view: Buffer): Segment | null {
  if (view.length < ACK_HEAD) return null
  const count = view[17] ?? 0
  if (count > MAX_RANGES || view.length !== ACK_HEAD + count * OFFSET_BYTES * 2) return null
  const next = view.readUIntBE(5, OFFSET_BYTES)
  const ranges: Range[] = []
  let before = next
  for (let at = ACK_HEAD; at < view.length; at += OFFSET_BYTES * 2) {
    const range = { from: view.readUIntBE(at, OFFSET_BYTES), to: view.readUIntBE(at + OFFSET_BYTES, OFFSET_BYTES) }
    if (range.from <= before || range.to <= range.from) return null
    before = range.to
    ranges.push(range)
  }
  return { type: 'ack', stream: view.readUInt32BE(1), next, limit: view.readUIntBE(11, OFFSET_BYTES), ranges }
}

function start(type: keyof typeof types, length: number, stream: number | null): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  bytes[0] = types[type]
  if (stream !== null) bytes.writeUInt32BE(stream, 1)
  return bytes
}
