/**
 * The receiver's side of one transfer stream: messages in, what to do next out. No I/O, no clock.
 * spec/NZ-TRANSFER-01 §5.
 */
import { WINDOW_BYTES } from './limits.ts'
import { protocolError } from './errors.ts'
import type { TransferEvent } from './frame.ts'
import type { Accept, Ack, ControlMessage, End, Offer, ReceiptMessage, StopCode } from './messages.ts'

export type ReceiverState = 'new' | 'deciding' | 'accepted' | 'receiving' | 'ended' | 'done'

export type ReceiverStep =
  | { readonly do: 'nothing' }
  /** Look for what is held of it, then call `accept`, `receipt` or `stop`. */
  | { readonly do: 'decide'; readonly offer: Offer }
  /** Data follows from `offset`; forget anything held beyond it. */
  | { readonly do: 'begin'; readonly offset: number }
  | { readonly do: 'store'; readonly bytes: Uint8Array }
  /** Compare the hash, put the whole in its place, then call `receipt`. */
  | { readonly do: 'complete'; readonly end: End }
  | { readonly do: 'stop'; readonly code: StopCode }

export class ReceiverMachine {
  readonly #windowBytes: number
  readonly #maxBytes: number
  #state: ReceiverState = 'new'
  #size: number | null = null
  #held = 0
  #received = 0
  #acked = 0

  /** `maxBytes`: data beyond it is a breach, whatever size was offered. */
  constructor({ maxBytes, windowBytes = WINDOW_BYTES }: { maxBytes: number; windowBytes?: number }) {
    this.#maxBytes = maxBytes
    this.#windowBytes = windowBytes
  }

  get state(): ReceiverState {
    return this.#state
  }

  /** Bytes received, of them `acked` acknowledged. */
  get offset(): number {
    return this.#received
  }

  get acked(): number {
    return this.#acked
  }

  /** @throws NZ_TRANSFER_PROTOCOL when the sender may not say that now */
  receive(event: TransferEvent): ReceiverStep {
    switch (event.type) {
      case 'alive':
        return { do: 'nothing' }
      case 'offer':
        this.#allow('new')
        this.#state = 'deciding'
        this.#size = event.size
        return { do: 'decide', offer: event }
      case 'begin':
        this.#allow('accepted')
        if (event.offset > this.#held) throw protocolError('began beyond what is held')
        this.#state = 'receiving'
        this.#received = event.offset
        this.#acked = event.offset
        return { do: 'begin', offset: event.offset }
      case 'data':
        return this.#data(event.bytes)
      case 'end':
        this.#allow('receiving')
        if (event.size !== this.#received) throw protocolError('ended at another size than was sent')
        if (this.#size !== null && event.size !== this.#size) throw protocolError('ended at another size than offered')
        this.#state = 'ended'
        return { do: 'complete', end: event }
      case 'stop':
        this.#state = 'done'
        return { do: 'stop', code: event.code }
      case 'accept':
      case 'ack':
      case 'receipt':
        throw protocolError(`${event.type} from a sender`)
    }
  }

  accept(offset: number, sha256: Uint8Array): Accept {
    this.#expect('deciding')
    this.#state = 'accepted'
    this.#held = offset
    return { type: 'accept', offset, sha256 }
  }

  /** The acknowledgement to send once everything before `offset` is safe; `null` when it says nothing new. */
  ack(offset: number): Ack | null {
    if (this.#state !== 'receiving' && this.#state !== 'ended') return null
    if (offset > this.#received) throw new RangeError('acknowledged beyond what was received')
    if (offset <= this.#acked) return null
    this.#acked = offset
    return { type: 'ack', offset }
  }

  /** Also straight after the offer, for a transfer that was completed before. */
  receipt(receipt: Omit<ReceiptMessage, 'type'>): ControlMessage {
    if (this.#state !== 'deciding') this.#expect('ended')
    this.#state = 'done'
    return { type: 'receipt', ...receipt }
  }

  stop(code: StopCode): ControlMessage {
    this.#state = 'done'
    return { type: 'stop', code }
  }

  #data(bytes: Uint8Array): ReceiverStep {
    this.#allow('receiving')
    this.#received += bytes.byteLength
    if (this.#received - this.#acked > this.#windowBytes) throw protocolError('sent beyond the window')
    if (this.#received > (this.#size ?? this.#maxBytes)) throw protocolError('sent more than offered or allowed')
    return { do: 'store', bytes }
  }

  #allow(...states: readonly ReceiverState[]): void {
    if (!states.includes(this.#state)) throw protocolError(`unexpected message while ${this.#state}`)
  }

  #expect(state: ReceiverState): void {
    if (this.#state !== state) throw new Error(`receiver is ${this.#state}, not ${state}`)
  }
}
