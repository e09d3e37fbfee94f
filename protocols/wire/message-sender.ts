/**
 * The sending side of messages (NZ-WIRE-01 §5), sans-I/O. Whoever carries the frames pulls them when it has room, so
 * nothing is queued below; what was not asked for by credit is not sent.
 */
import { codecs, compress } from './compression.ts'
import { encodeFrame, FLAG_COMPRESSED, frameType, MAX_CHUNK_BYTES } from './frame.ts'
import { INITIAL_CREDIT_BYTES, MAX_MESSAGE_BYTES, MAX_OPEN_MESSAGES } from './limits.ts'
import type { Codec } from './compression.ts'
import type { WireCode } from './errors.ts'
import type { Frame } from './frame.ts'

const MAX_ID = 0xffff_ffff

interface Outgoing {
  readonly id: number
  readonly payload: Uint8Array
  readonly codec: Codec
  isOpened: boolean
  isCancelled: boolean
  /** Bytes of the payload that went out, and how many may. */
  sentBytes: number
  creditBytes: number
}

export type SenderEvent =
  | { readonly event: 'none' }
  /** The peer has taken these messages whole. */
  | { readonly event: 'taken'; readonly ids: readonly number[] }
  | { readonly event: 'rejected'; readonly id: number; readonly reason: number }
  | { readonly refused: WireCode }

export class MessageSender {
  readonly #codec: Codec
  /** In the order of their turn. */
  readonly #messages = new Map<number, Outgoing>()
  #nextId = 0
  /** Of messages given up after their OPEN. */
  readonly #cancelled: number[] = []

  /** `codec`: what `codecOf` says of the session's features. */
  constructor({ codec }: { readonly codec: Codec }) {
    this.#codec = codec
  }

  /** Messages that the peer has not taken yet. */
  get openMessages(): number {
    return this.#messages.size
  }

  get hasRoom(): boolean {
    return this.#messages.size < MAX_OPEN_MESSAGES && this.#nextId <= MAX_ID
  }

  /**
   * Takes a message to be sent; its bytes may not be changed until it was taken. Compress only what no attacker has a
   * part in: sizes tell. @throws RangeError without room, and above MAX_MESSAGE_BYTES
   */
  add(payload: Uint8Array, { isCompressed = false }: { readonly isCompressed?: boolean } = {}): number {
    if (!this.hasRoom) throw new RangeError('too many messages are under way')
    if (payload.byteLength > MAX_MESSAGE_BYTES) throw new RangeError('the message is too large')
    const id = this.#nextId
    this.#nextId += 1
    const codec = isCompressed ? this.#codec : 'none'
    this.#messages.set(id, {
      id,
      payload,
      codec,
      isOpened: false,
      isCancelled: false,
      sentBytes: 0,
      creditBytes: INITIAL_CREDIT_BYTES,
    })
    return id
  }

  /** Gives a message up of which something is still to be sent; the peer forgets what it has of it. */
  cancel(id: number): void {
    const message = this.#messages.get(id)
    if (message === undefined || isSent(message)) return
    // Ids are announced in order: one that was not is announced, then given up.
    message.isCancelled = true
    if (message.isOpened) this.#forget(message)
  }

  /** The next frame to carry; `null`: nothing may be sent now. */
  next(): Uint8Array | null {
    const cancelled = this.#cancelled.shift()
    if (cancelled !== undefined) return encodeFrame(frameType.cancel, [uint32(cancelled)])
    for (const message of this.#messages.values()) {
      if (!message.isOpened) return this.#open(message)
      if (message.sentBytes < Math.min(message.creditBytes, message.payload.byteLength)) {
        // Its turn comes again after the others'.
        this.#messages.delete(message.id)
        this.#messages.set(message.id, message)
        return this.#chunk(message)
      }
    }
    return null
  }

  /** Takes a CREDIT, DONE or REJECT frame of the peer. */
  receive({ type, body }: Frame): SenderEvent {
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
    if (type === frameType.done) return this.#onDone(view)
    const id = view.getUint32(0)
    const message = this.#messages.get(id)
    if (message === undefined) {
      // Credit may cross with what ended the message.
      return id < this.#nextId ? { event: 'none' } : { refused: 'NZ_WIRE_MESSAGE' }
    }
    if (!message.isOpened) return { refused: 'NZ_WIRE_MESSAGE' }
    if (type === frameType.reject) {
      this.#forget(message)
      return { event: 'rejected', id, reason: view.getUint8(4) }
    }
    message.creditBytes = Math.min(message.creditBytes + view.getUint32(4), MAX_MESSAGE_BYTES)
    return { event: 'none' }
  }

  #onDone(view: DataView): SenderEvent {
    if (view.byteLength % 4 !== 0) return { refused: 'NZ_WIRE_MALFORMED' }
    const ids: number[] = []
    for (let at = 0; at < view.byteLength; at += 4) {
      const id = view.getUint32(at)
      const message = this.#messages.get(id)
      if (message === undefined) {
        if (id < this.#nextId) continue
        return { refused: 'NZ_WIRE_MESSAGE' }
      }
      if (!isSent(message)) return { refused: 'NZ_WIRE_MESSAGE' }
      this.#messages.delete(id)
      ids.push(id)
    }
    return { event: 'taken', ids }
  }

  /** The peer forgets a message when it has it whole, else when it is told. */
  #forget(message: Outgoing): void {
    this.#messages.delete(message.id)
    if (!isSent(message)) this.#cancelled.push(message.id)
  }

  #open(message: Outgoing): Uint8Array {
    message.isOpened = true
    const { id, payload, codec } = message
    if (message.isCancelled) this.#forget(message)
    return encodeFrame(frameType.open, [uint32(id), uint32(payload.byteLength), Uint8Array.of(codecs.indexOf(codec))])
  }

  #chunk(message: Outgoing): Uint8Array {
    const { id, payload, codec, sentBytes, creditBytes } = message
    const plain = payload.subarray(sentBytes, Math.min(sentBytes + MAX_CHUNK_BYTES, creditBytes, payload.byteLength))
    const small = compress(codec, plain)
    const plainBytes = small?.plainBytes ?? plain.byteLength
    message.sentBytes += plainBytes
    const parts = [uint32(id), uint32(plainBytes), small?.bytes ?? plain]
    return encodeFrame(frameType.chunk, parts, small === null ? 0 : FLAG_COMPRESSED)
  }
}

function isSent({ isOpened, sentBytes, payload }: Outgoing): boolean {
  return isOpened && sentBytes === payload.byteLength
}

export function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}
