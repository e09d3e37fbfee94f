/** What travels in the simulator around a frame of a channel: who it is from and for, and to which call it belongs. */

export interface Addressed {
  readonly from: number
  readonly to: number
  readonly call: number
  readonly frame: Uint8Array
}

const HEAD_BYTES = 8

export function encodeAddressed({ from, to, call, frame }: Addressed): Uint8Array {
  const bytes = Buffer.alloc(HEAD_BYTES + frame.length)
  bytes.writeUInt16BE(from, 0)
  bytes.writeUInt16BE(to, 2)
  bytes.writeUInt32BE(call, 4)
  bytes.set(frame, HEAD_BYTES)
  return bytes
}

/** @throws RangeError for less than a head: the simulator itself made it */
export function decodeAddressed(bytes: Uint8Array): Addressed {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return {
    from: head.readUInt16BE(0),
    to: head.readUInt16BE(2),
    call: head.readUInt32BE(4),
    frame: bytes.subarray(HEAD_BYTES),
  }
}
