/** PACKET frames (NZ-CHANNEL-01 §3): what travels in the clear, and the sealing of the rest. */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { frameType, HEADER_BYTES, PACKET_OVERHEAD_BYTES, writeHeader } from '../wire/frame.ts'
import type { KeyObject } from 'node:crypto'

const CIPHER = 'chacha20-poly1305'
const TAG_BYTES = 16
const NONCE_BYTES = 12
/** Index, epoch and counter. */
const CLEAR_BYTES = 16
/** Of the frame: what the tag covers beside the sealed part. */
const AUTHENTICATED_BYTES = HEADER_BYTES + CLEAR_BYTES
/** What a packet is longer than its payload, its frame's header counted. */
export const OVERHEAD_BYTES = HEADER_BYTES + PACKET_OVERHEAD_BYTES

/** First byte of what is sealed. */
export const packetKind = { data: 0, control: 1 } as const
export type PacketKind = keyof typeof packetKind

export interface PacketPlace {
  /** Of the receiver. */
  readonly index: number
  readonly epoch: number
  readonly counter: number
}

export function sealPacket(key: KeyObject, place: PacketPlace, kind: PacketKind, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(OVERHEAD_BYTES + payload.byteLength)
  writeHeader(frame, frameType.packet, frame.byteLength - HEADER_BYTES)
  const view = new DataView(frame.buffer)
  view.setUint32(HEADER_BYTES, place.index)
  view.setUint32(HEADER_BYTES + 4, place.epoch)
  view.setUint32(HEADER_BYTES + 8, Math.floor(place.counter / 2 ** 32))
  view.setUint32(HEADER_BYTES + 12, place.counter % 2 ** 32)
  const cipher = createCipheriv(CIPHER, key, nonceOf(place.counter), { authTagLength: TAG_BYTES })
  cipher.setAAD(frame.subarray(0, AUTHENTICATED_BYTES), { plaintextLength: 1 + payload.byteLength })
  frame.set(cipher.update(Uint8Array.of(packetKind[kind])), AUTHENTICATED_BYTES)
  frame.set(cipher.update(payload), AUTHENTICATED_BYTES + 1)
  cipher.final()
  frame.set(cipher.getAuthTag(), frame.byteLength - TAG_BYTES)
  return frame
}

/** Of a frame that was read as a PACKET. `null` for a counter that no sender reaches. */
export function placeOf(frame: Uint8Array): PacketPlace | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  const high = view.getUint32(HEADER_BYTES + 8)
  if (high >= 2 ** 16) return null
  return {
    index: view.getUint32(HEADER_BYTES),
    epoch: view.getUint32(HEADER_BYTES + 4),
    counter: high * 2 ** 32 + view.getUint32(HEADER_BYTES + 12),
  }
}

/** What was sealed, its kind first; `null` when it does not authenticate. */
export function openPacket(key: KeyObject, { counter }: PacketPlace, frame: Uint8Array): Uint8Array | null {
  const end = frame.byteLength - TAG_BYTES
  const decipher = createDecipheriv(CIPHER, key, nonceOf(counter), { authTagLength: TAG_BYTES })
  decipher.setAAD(frame.subarray(0, AUTHENTICATED_BYTES), { plaintextLength: end - AUTHENTICATED_BYTES })
  decipher.setAuthTag(frame.subarray(end))
  const plain = decipher.update(frame.subarray(AUTHENTICATED_BYTES, end))
  try {
    decipher.final()
  } catch {
    // Not of this key, or changed.
    plain.fill(0)
    return null
  }
  return plain
}

/** Four zero bytes, then the counter, little-endian, as Noise has it. */
function nonceOf(counter: number): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES)
  nonce.writeUInt32LE(counter % 2 ** 32, 4)
  nonce.writeUInt32LE(Math.floor(counter / 2 ** 32), 8)
  return nonce
}
