/** Frame headers (spec.md, "Framing"): version, type, flags, stream id and length, big-endian, 12 bytes. */
import { HEADER_BYTES, VERSION } from './constants.ts'

/** Writes a header into `target` at `offset` and returns where it ends. The caller has the room. */
export function writeHeader(
  target: Uint8Array,
  offset: number,
  type: number,
  flags: number,
  streamId: number,
  length: number,
): number {
  target[offset] = VERSION
  target[offset + 1] = type
  target[offset + 2] = flags >>> 8
  target[offset + 3] = flags
  writeUint32(target, offset + 4, streamId)
  writeUint32(target, offset + 8, length)
  return offset + HEADER_BYTES
}

/** Replaces the length of the header at `offset`. */
export function writeLength(target: Uint8Array, offset: number, length: number): void {
  writeUint32(target, offset + 8, length)
}

export function readUint16(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0)
}

export function readUint32(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset) * 65_536 + readUint16(bytes, offset + 2)
}

function writeUint32(target: Uint8Array, offset: number, value: number): void {
  target[offset] = value >>> 24
  target[offset + 1] = value >>> 16
  target[offset + 2] = value >>> 8
  target[offset + 3] = value
}
