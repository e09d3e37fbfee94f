/**
 * The sender's side of one transfer stream: messages in, what to do next out. No I/O, no clock.
 * spec/NZ-TRANSFER-01 §4.
 */
import { WINDOW_BYTES } from './limits.ts'
import { protocolError } from './errors.ts'
import type { TransferEvent } from './frame.ts'
import type { Begin, ControlMessage, End, Offer, ReceiptMessage, StopCode } from './messages.ts'

export type SenderState = 'new' | 'offered' | 'checking' | 'sending' | 'ending' | 'done'

/** What the driver has to do after a message. */
export type SenderStep =
  | { readonly do: 'nothing' }
  /** Compare the receiver's prefix with the source, then call `begin`. */
  | { readonly do: 'checkPrefix'; readonly offset: number; readonly sha256: Uint8Array }
  /** Bytes before `offset` need not be kept. */
  | { readonly do: 'forget'; readonly offset: number }
  | { readonly do: 'checkReceipt'; readonly receipt: ReceiptMessage }
  | { readonly do: 'stop'; readonly code: StopCode }

export class SenderMachine {
  readonly #windowBytes: number
  #state: SenderState = 'new'
  #offeredOffset = 0
  #acked = 0
  #sent = 0

  constructor(windowBytes: number = WINDOW_BYTES) {
    this.#windowBytes = windowBytes
  }

  get state(): SenderState {
    return this.#state
  }

  /** Next byte to send. */
  get offset(): number {
    return this.#sent
  }

  /** Bytes that may be sent now without more acknowledgements. */
  get credit(): number {
    return this.#state === 'sending' ? this.#windowBytes - (this.#sent - this.#acked) : 0
  }

  offer(offer: Omit<Offer, 'type'>): ControlMessage {
    this.#expect('new')
    this.#state = 'offered'
    return { type: 'offer', ...offer }
  }

  /** @throws NZ_TRANSFER_PROTOCOL when the receiver may not say that now */
  receive(event: TransferEvent): SenderStep {
    switch (event.type) {
      case 'alive':
        return { do: 'nothing' }
      case 'accept':
        this.#allow('offered')
        this.#state = 'checking'
        this.#offeredOffset = event.offset
        return { do: 'checkPrefix', offset: event.offset, sha256: event.sha256 }
      case 'ack':
        return this.#ack(event.offset)
      case 'receipt':
        // Straight after the offer when an earlier stream was cut after the last byte.
        this.#allow('ending', 'offered')
        this.#state = 'done'
        return { do: 'checkReceipt', receipt: event }
      case 'stop':
        this.#state = 'done'
        return { do: 'stop', code: event.code }
      case 'offer':
      case 'begin':
      case 'end':
      case 'data':
        throw protocolError(`${event.type} from a receiver`)
    }
  }

  /** Goes on at `offset`, at most what the receiver said it has. */
  begin(offset: number): Begin {
    this.#expect('checking')
    if (offset > this.#offeredOffset) throw new RangeError('the receiver does not have that much')
    this.#state = 'sending'
    this.#acked = offset
    this.#sent = offset
    return { type: 'begin', offset }
  }

  /** Notes that the data up to `end` is on its way. */
  sent(end: number): void {
    this.#expect('sending')
    if (end <= this.#sent || end - this.#acked > this.#windowBytes) throw new RangeError('sent beyond the window')
    this.#sent = end
  }

  end(sha256: Uint8Array): End {
    this.#expect('sending')
    this.#state = 'ending'
    return { type: 'end', size: this.#sent, sha256 }
  }

  #ack(offset: number): SenderStep {
    this.#allow('sending', 'ending')
    if (offset < this.#acked || offset > this.#sent) throw protocolError('acknowledged what was not sent')
    this.#acked = offset
    return { do: 'forget', offset }
  }

  #allow(...states: readonly SenderState[]): void {
    if (!states.includes(this.#state)) throw protocolError(`unexpected message while ${this.#state}`)
  }

  #expect(state: SenderState): void {
    if (this.#state !== state) throw new Error(`sender is ${this.#state}, not ${state}`)
  }
}
