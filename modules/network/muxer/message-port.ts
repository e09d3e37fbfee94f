/** A `DirectPort` over any libp2p message stream, for connections that somebody else has secured. */
import { Uint8ArrayList } from 'uint8arraylist'
import type { MessageStream } from '@libp2p/interface'
import type { DirectPort } from '../noise/direct.ts'

export class MessagePort implements DirectPort {
  readonly maxBytes = 65_519
  /** Records are the affair of whoever secures the connection; writes are counted in their place. */
  readonly rxRecords = 0
  txRecords = 0
  readonly #connection: MessageStream

  constructor(connection: MessageStream, onDrain: () => void) {
    this.#connection = connection
    connection.addEventListener('drain', onDrain)
  }

  get isFull(): boolean {
    return this.#connection.writableNeedsDrain
  }

  write(parts: readonly Uint8Array[]): void {
    // A part may be a buffer that is used again; the list below is kept for as long as the stream likes.
    if (this.#connection.status !== 'open') return
    this.txRecords += 1
    this.#connection.send(new Uint8ArrayList(...parts.map((part) => part.slice())))
  }
}
