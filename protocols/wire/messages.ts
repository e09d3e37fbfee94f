/** Messages in both directions over one ordered, lossless carrier of frames (NZ-WIRE-01 §5), sans-I/O. */
import { decodeFrame, frameType } from './frame.ts'
import { MessageReceiver } from './message-receiver.ts'
import { MessageSender } from './message-sender.ts'
import type { Codec } from './compression.ts'
import type { ReceiverEvent } from './message-receiver.ts'
import type { SenderEvent } from './message-sender.ts'

export interface MessagesOptions {
  /** Of what this side sends: `codecOf` the session's features. */
  readonly codec: Codec
  /** @default REASSEMBLY_BYTES */
  readonly reassemblyBytes?: number
}

export class Messages {
  readonly sender: MessageSender
  readonly receiver: MessageReceiver

  constructor({ codec, reassemblyBytes }: MessagesOptions) {
    this.sender = new MessageSender({ codec })
    this.receiver = new MessageReceiver(reassemblyBytes === undefined ? {} : { reassemblyBytes })
  }

  /** Takes one frame of the peer. After `refused` the carrier must be ended. */
  receive(bytes: Uint8Array): SenderEvent | ReceiverEvent {
    const frame = decodeFrame(bytes)
    if (typeof frame === 'string') return { refused: frame }
    switch (frame.type) {
      case frameType.open:
      case frameType.chunk:
      case frameType.cancel:
        return this.receiver.receive(frame)
      case frameType.credit:
      case frameType.done:
      case frameType.reject:
        return this.sender.receive(frame)
      case frameType.hello:
      case frameType.answer:
      case frameType.finish:
      case frameType.retry:
      case frameType.refuse:
      case frameType.packet:
        return { refused: 'NZ_WIRE_TYPE' }
    }
  }

  /** The next frame to carry, what the peer waits for first; `null`: none now. */
  next(): Uint8Array | null {
    return this.receiver.next() ?? this.sender.next()
  }
}
