/** Frames of the transfer stream: type, length, payload. spec/NZ-TRANSFER-01 §3. */
import { FRAME_HEADER_BYTES, MAX_CONTROL_BYTES, MAX_DATA_BYTES } from './limits.ts'
import { decodeMessage, encodeMessage, frameTypes } from './messages.ts'
import { protocolError } from './errors.ts'
import type { ControlMessage } from './messages.ts'

/** A control message, or a piece of a data frame's payload; pieces are views of the bytes pushed, not copies. */
export type TransferEvent = ControlMessage | { readonly type: 'data'; readonly bytes: Uint8Array }

export function encodeControl(message: ControlMessage): Uint8Array {
  const payload = encodeMessage(message)
  if (payload.byteLength > MAX_CONTROL_BYTES) throw new RangeError('control message too large')
  const frame = new Uint8Array(FRAME_HEADER_BYTES + payload.byteLength)
  writeHeader(frame, frameTypes[message.type], payload.byteLength)
  frame.set(payload, FRAME_HEADER_BYTES)
  return frame
}

/** Writes the header of a data frame into the first `FRAME_HEADER_BYTES` of a buffer whose payload follows them. */
export function writeDataHeader(frame: Uint8Array, payloadBytes: number): void {
  if (payloadBytes < 1 || payloadBytes > MAX_DATA_BYTES) throw new RangeError('data frame size out of range')
  writeHeader(frame, frameTypes.data, payloadBytes)
}

/** A data frame with a copy of `payload`. */
export function encodeDataFrame(payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + payload.byteLength)
  writeDataHeader(frame, payload.byteLength)
  frame.set(payload, FRAME_HEADER_BYTES)
  return frame
}

function writeHeader(frame: Uint8Array, type: number, length: number): void {
  frame[0] = type
  frame[1] = (length >>> 24) & 0xff
  frame[2] = (length >>> 16) & 0xff
  frame[3] = (length >>> 8) & 0xff
  frame[4] = length & 0xff
}

/** Turns a stream of bytes into events. Holds at most one control frame; data passes through uncopied. */
export class FrameDecoder {
  /** Of the bytes pushed, what is not yet told. */
  #rest: Uint8Array = new Uint8Array()
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES)
  #headerBytes = 0
  #type = 0
  #remaining = 0
  #control: Uint8Array | null = null

  /** Whether the bytes so far end with a whole frame. */
  get isAtBoundary(): boolean {
    return this.#headerBytes === 0
  }

  /** @throws NZ_TRANSFER_PROTOCOL; the decoder is of no use afterwards */
  *push(bytes: Uint8Array): Generator<TransferEvent, void, undefined> {
    this.#rest = bytes
    while (this.#rest.byteLength > 0) {
      if (this.#headerBytes < FRAME_HEADER_BYTES) {
        this.#rest = this.#takeHeader(this.#rest)
        if (this.#headerBytes < FRAME_HEADER_BYTES) return
        if (this.#remaining > 0) continue
      }
      const piece = this.#rest.subarray(0, this.#remaining)
      this.#rest = this.#rest.subarray(piece.byteLength)
      const event = this.#takePayload(piece)
      if (event !== null) yield event
    }
  }

  /** The bytes pushed may be changed now: what is not yet told of them is copied. */
  keep(): void {
    this.#rest = this.#rest.slice()
  }

  #takeHeader(bytes: Uint8Array): Uint8Array {
    const taken = bytes.subarray(0, FRAME_HEADER_BYTES - this.#headerBytes)
    this.#header.set(taken, this.#headerBytes)
    this.#headerBytes += taken.byteLength
    if (this.#headerBytes === FRAME_HEADER_BYTES) this.#open()
    return bytes.subarray(taken.byteLength)
  }

  #open(): void {
    const [type = 0, a = 0, b = 0, c = 0, d = 0] = this.#header
    const length = a * 0x1000000 + (b << 16) + (c << 8) + d
    if (type > frameTypes.stop) throw protocolError('unknown frame type')
    if (type === frameTypes.data) {
      if (length === 0 || length > MAX_DATA_BYTES) throw protocolError('data frame size out of range')
    } else {
      if (length > MAX_CONTROL_BYTES) throw protocolError('control frame too large')
      this.#control = new Uint8Array(length)
    }
    this.#type = type
    this.#remaining = length
  }

  #takePayload(piece: Uint8Array): TransferEvent | null {
    const control = this.#control
    control?.set(piece, control.byteLength - this.#remaining)
    this.#remaining -= piece.byteLength
    if (this.#remaining === 0) {
      this.#headerBytes = 0
      this.#control = null
      if (control !== null) return decodeMessage(this.#type, control)
    }
    return control === null ? { type: 'data', bytes: piece } : null
  }
}
