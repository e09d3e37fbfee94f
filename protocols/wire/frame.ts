/**
 * Frames of NZ-WIRE-01 §2: version, type, flags and length in eight bytes, then the body. On a byte stream they follow
 * one another; a packet holds exactly one.
 */
import type { WireCode } from './errors.ts'

export const WIRE_VERSION = 1
export const HEADER_BYTES = 8

/** NZ-WIRE-01 §3. */
export const frameType = {
  hello: 0x01,
  answer: 0x02,
  finish: 0x03,
  retry: 0x04,
  refuse: 0x05,
  packet: 0x10,
  open: 0x20,
  chunk: 0x21,
  credit: 0x22,
  done: 0x23,
  cancel: 0x24,
  reject: 0x25,
} as const

export type FrameType = (typeof frameType)[keyof typeof frameType]

interface Kind {
  readonly minBytes: number
  readonly maxBytes: number
  /** Those a frame of the type may have. */
  readonly flags: number
}

/** A chunk's bytes are compressed. */
export const FLAG_COMPRESSED = 0x0001

/** Most plain bytes of a chunk. */
export const MAX_CHUNK_BYTES = 65_536
/** Most bytes of a handshake message. */
export const MAX_HANDSHAKE_BODY_BYTES = 2_048
/** Index, epoch, counter, kind and tag beside the payload. */
export const PACKET_OVERHEAD_BYTES = 33
/** Most bytes that one packet seals: a frame with a whole chunk, and some. */
export const MAX_PACKET_PAYLOAD_BYTES = MAX_CHUNK_BYTES + 64
export const MAX_DONE_IDS = 64

const kinds: ReadonlyMap<number, Kind> = new Map<FrameType, Kind>([
  [frameType.hello, { minBytes: 38, maxBytes: MAX_HANDSHAKE_BODY_BYTES, flags: 0 }],
  [frameType.answer, { minBytes: 36, maxBytes: MAX_HANDSHAKE_BODY_BYTES, flags: 0 }],
  [frameType.finish, { minBytes: 36, maxBytes: MAX_HANDSHAKE_BODY_BYTES, flags: 0 }],
  [frameType.retry, { minBytes: 20, maxBytes: 20, flags: 0 }],
  [frameType.refuse, { minBytes: 5, maxBytes: 5, flags: 0 }],
  [
    frameType.packet,
    { minBytes: PACKET_OVERHEAD_BYTES, maxBytes: PACKET_OVERHEAD_BYTES + MAX_PACKET_PAYLOAD_BYTES, flags: 0 },
  ],
  [frameType.open, { minBytes: 9, maxBytes: 9, flags: 0 }],
  [frameType.chunk, { minBytes: 9, maxBytes: 8 + MAX_CHUNK_BYTES, flags: FLAG_COMPRESSED }],
  [frameType.credit, { minBytes: 8, maxBytes: 8, flags: 0 }],
  [frameType.done, { minBytes: 4, maxBytes: 4 * MAX_DONE_IDS, flags: 0 }],
  [frameType.cancel, { minBytes: 4, maxBytes: 4, flags: 0 }],
  [frameType.reject, { minBytes: 5, maxBytes: 5, flags: 0 }],
])

export interface FrameHeader {
  readonly type: FrameType
  readonly flags: number
  readonly bodyBytes: number
}

export interface Frame extends FrameHeader {
  /** A view of the bytes read. */
  readonly body: Uint8Array
}

/** Writes the header of a frame whose body has `bodyBytes` bytes at the beginning of `target`. */
export function writeHeader(target: Uint8Array, type: FrameType, bodyBytes: number, flags = 0): void {
  const view = new DataView(target.buffer, target.byteOffset, HEADER_BYTES)
  view.setUint8(0, WIRE_VERSION)
  view.setUint8(1, type)
  view.setUint16(2, flags)
  view.setUint32(4, bodyBytes)
}

/** The parts of the body behind a header. The caller keeps to the bounds of the type. */
export function encodeFrame(type: FrameType, parts: readonly Uint8Array[], flags = 0): Uint8Array {
  const bodyBytes = parts.reduce((sum, part) => sum + part.byteLength, 0)
  const frame = new Uint8Array(HEADER_BYTES + bodyBytes)
  writeHeader(frame, type, bodyBytes, flags)
  let at = HEADER_BYTES
  for (const part of parts) {
    frame.set(part, at)
    at += part.byteLength
  }
  return frame
}

/** The header at the beginning of `bytes` (at least HEADER_BYTES), checked before a byte of the body is awaited. */
export function readHeader(bytes: Uint8Array): FrameHeader | WireCode {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint8(0) !== WIRE_VERSION) return 'NZ_WIRE_VERSION'
  const type = view.getUint8(1)
  const kind = kinds.get(type)
  if (kind === undefined) return 'NZ_WIRE_TYPE'
  const flags = view.getUint16(2)
  if ((flags & ~kind.flags) !== 0) return 'NZ_WIRE_FLAGS'
  const bodyBytes = view.getUint32(4)
  if (bodyBytes > kind.maxBytes) return 'NZ_WIRE_TOO_LARGE'
  if (bodyBytes < kind.minBytes) return 'NZ_WIRE_MALFORMED'
  return { type: type as FrameType, flags, bodyBytes }
}

/** The one frame that `bytes` are, as a packet holds it. */
export function decodeFrame(bytes: Uint8Array): Frame | WireCode {
  if (bytes.byteLength < HEADER_BYTES) return 'NZ_WIRE_MALFORMED'
  const header = readHeader(bytes)
  if (typeof header === 'string') return header
  if (bytes.byteLength !== HEADER_BYTES + header.bodyBytes) return 'NZ_WIRE_MALFORMED'
  return { ...header, body: bytes.subarray(HEADER_BYTES) }
}
