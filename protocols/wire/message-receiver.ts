/**
 * The receiving side of messages (NZ-WIRE-01 §5), sans-I/O. Room for a message is reserved before its bytes are asked
 * for; a message that finds none waits for those before it to be taken.
 */
import { codecs, decompress } from './compression.ts'
import { encodeFrame, FLAG_COMPRESSED, frameType, MAX_CHUNK_BYTES, MAX_DONE_IDS } from './frame.ts'
import {
  CREDIT_WINDOW_BYTES,
  INITIAL_CREDIT_BYTES,
  MAX_MESSAGE_BYTES,
  MAX_OPEN_MESSAGES,
  REASSEMBLY_BYTES,
} from './limits.ts'
import { uint32 } from './message-sender.ts'
import type { Codec } from './compression.ts'
import type { WireCode } from './errors.ts'
import type { Frame } from './frame.ts'

interface Incoming {
  readonly id: number
  readonly totalBytes: number
  readonly codec: Codec
  /** Of the initial credit; of the whole message once there is room for it. */
  received: Uint8Array
  receivedBytes: number
  grantedBytes: number
  /** Room for what is beyond the initial credit is kept for it. */
  isReserved: boolean
  /** Refused here; the peer has not heard of it yet. */
  isRejected: boolean
}

export type ReceiverEvent =
  | { readonly event: 'none' }
  /** Whole; call `taken` once it needs no more room. */
  | { readonly event: 'message'; readonly id: number; readonly payload: Uint8Array }
  | { readonly event: 'cancelled'; readonly id: number }
  /** The peer broke the rules: end the channel. */
  | { readonly refused: WireCode }

export class MessageReceiver {
  readonly #reassemblyBytes: number
  /** Under way or not taken yet, oldest first. */
  readonly #messages = new Map<number, Incoming>()
  #nextId = 0
  #reservedBytes = 0
  /** CREDIT and REJECT frames to carry; at most two of each message. */
  readonly #frames: Uint8Array[] = []
  readonly #done: number[] = []

  /** `reassemblyBytes`: at least MAX_MESSAGE_BYTES unless larger messages may wait for ever. */
  constructor({ reassemblyBytes = REASSEMBLY_BYTES }: { readonly reassemblyBytes?: number } = {}) {
    this.#reassemblyBytes = reassemblyBytes
  }

  /** Bytes that messages of the peer hold here, or may. */
  get reservedBytes(): number {
    let initialBytes = 0
    for (const { totalBytes } of this.#messages.values()) initialBytes += Math.min(totalBytes, INITIAL_CREDIT_BYTES)
    return this.#reservedBytes + initialBytes
  }

  get openMessages(): number {
    return this.#messages.size
  }

  /** Takes an OPEN, CHUNK or CANCEL frame of the peer. */
  receive(frame: Frame): ReceiverEvent {
    const view = new DataView(frame.body.buffer, frame.body.byteOffset, frame.body.byteLength)
    const id = view.getUint32(0)
    if (frame.type === frameType.open) return this.#onOpen(id, view.getUint32(4), view.getUint8(8))
    const message = this.#messages.get(id)
    if (frame.type === frameType.cancel) {
      if (message === undefined || isWhole(message)) return { refused: 'NZ_WIRE_MESSAGE' }
      this.#release(message)
      return message.isRejected ? { event: 'none' } : { event: 'cancelled', id }
    }
    if (message === undefined) return { refused: 'NZ_WIRE_MESSAGE' }
    return this.#onChunk(message, view.getUint32(4), frame)
  }

  /** The application has taken a whole message: its room is free, and the peer is told. */
  taken(id: number): void {
    const message = this.#messages.get(id)
    if (message === undefined || !isWhole(message)) throw new RangeError('no such message')
    this.#release(message)
    this.#done.push(id)
  }

  /** Refuses a message that is not whole yet. */
  reject(id: number, reason: number): void {
    const message = this.#messages.get(id)
    if (message === undefined || isWhole(message) || message.isRejected) return
    message.isRejected = true
    this.#frames.push(encodeFrame(frameType.reject, [uint32(id), Uint8Array.of(reason)]))
  }

  /** The next frame to carry; `null`: none. */
  next(): Uint8Array | null {
    // What was refused is said before it counts as received.
    const frame = this.#frames.shift()
    if (frame !== undefined) return frame
    if (this.#done.length === 0) return null
    return encodeFrame(frameType.done, this.#done.splice(0, MAX_DONE_IDS).map(uint32))
  }

  #onOpen(id: number, totalBytes: number, codecNumber: number): ReceiverEvent {
    const codec = codecs[codecNumber]
    if (id !== this.#nextId) return { refused: 'NZ_WIRE_MESSAGE' }
    if (codec === undefined) return { refused: 'NZ_WIRE_COMPRESSION' }
    if (totalBytes > MAX_MESSAGE_BYTES) return { refused: 'NZ_WIRE_MESSAGE_TOO_LARGE' }
    if (this.#messages.size >= MAX_OPEN_MESSAGES) return { refused: 'NZ_WIRE_MESSAGES' }
    this.#nextId += 1
    const message: Incoming = {
      id,
      totalBytes,
      codec,
      received: new Uint8Array(Math.min(totalBytes, INITIAL_CREDIT_BYTES)),
      receivedBytes: 0,
      grantedBytes: Math.min(totalBytes, INITIAL_CREDIT_BYTES),
      isReserved: false,
      isRejected: false,
    }
    this.#messages.set(id, message)
    if (totalBytes === 0) return { event: 'message', id, payload: message.received }
    this.#grant()
    return { event: 'none' }
  }

  #onChunk(message: Incoming, plainBytes: number, { flags, body }: Frame): ReceiverEvent {
    if (plainBytes === 0 || plainBytes > MAX_CHUNK_BYTES) return { refused: 'NZ_WIRE_MALFORMED' }
    const { id, receivedBytes, grantedBytes, codec } = message
    if (receivedBytes + plainBytes > grantedBytes) return { refused: 'NZ_WIRE_CREDIT' }
    const bytes = body.subarray(8)
    const plain = (flags & FLAG_COMPRESSED) === 0 ? bytes : decompress(codec, bytes, plainBytes)
    if (typeof plain === 'string') return { refused: plain }
    if (plain.byteLength !== plainBytes) return { refused: 'NZ_WIRE_MALFORMED' }
    if (!message.isRejected) message.received.set(plain, receivedBytes)
    message.receivedBytes += plainBytes
    if (isWhole(message)) {
      if (!message.isRejected) return { event: 'message', id, payload: message.received }
      // It came whole before the peer heard that it was refused.
      this.taken(id)
      return { event: 'none' }
    }
    this.#grant()
    return { event: 'none' }
  }

  /** Asks for more of each message for which there is room, oldest first. */
  #grant(): void {
    for (const message of this.#messages.values()) {
      const { id, totalBytes, receivedBytes, grantedBytes } = message
      if (grantedBytes === totalBytes || message.isRejected) continue
      if (!message.isReserved) {
        const neededBytes = totalBytes - INITIAL_CREDIT_BYTES
        // Those behind it wait, too: a large message is not passed over for ever.
        if (this.#reservedBytes + neededBytes > this.#reassemblyBytes) return
        this.#reservedBytes += neededBytes
        message.isReserved = true
        // Untouched pages cost nothing: memory grows with what comes, and it is given out only when all came.
        const whole = Buffer.allocUnsafeSlow(totalBytes)
        whole.set(message.received)
        message.received = whole
      }
      const windowEnd = Math.min(receivedBytes + CREDIT_WINDOW_BYTES, totalBytes)
      const isWorthIt = windowEnd === totalBytes || windowEnd - grantedBytes >= CREDIT_WINDOW_BYTES / 2
      if (windowEnd <= grantedBytes || !isWorthIt) continue
      message.grantedBytes = windowEnd
      this.#frames.push(encodeFrame(frameType.credit, [uint32(id), uint32(windowEnd - grantedBytes)]))
    }
  }

  #release(message: Incoming): void {
    this.#messages.delete(message.id)
    if (message.isReserved) this.#reservedBytes -= message.totalBytes - INITIAL_CREDIT_BYTES
    this.#grant()
  }
}

function isWhole({ receivedBytes, totalBytes }: Incoming): boolean {
  return receivedBytes === totalBytes
}
