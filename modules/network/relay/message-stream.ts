/** Single messages over a stream, and what follows them as raw bytes. */
import { delimited, DelimitedMessages } from '../../../protocols/circuit/fields.ts'
import type { PeerStream } from '../service.ts'

export class MessageStream {
  readonly stream: PeerStream
  readonly #messages = new DelimitedMessages()

  constructor(stream: PeerStream) {
    this.stream = stream
  }

  async write(message: Uint8Array, signal: AbortSignal): Promise<void> {
    await this.stream.write(delimited(message), { signal })
  }

  /** The next message; `null` when the peer ended the stream before one, or sent something else. */
  async read(signal: AbortSignal): Promise<Uint8Array | null> {
    for (;;) {
      const next = this.#messages.next()
      if (next.state === 'message') return next.message
      if (next.state === 'invalid') return null
      const bytes = await this.stream.read({ signal })
      if (bytes === null) return null
      this.#messages.push(bytes)
    }
  }

  /** What came behind the last message. */
  rest(): Uint8Array {
    return this.#messages.rest()
  }
}
