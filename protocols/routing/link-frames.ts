/** Messages of a link on a byte stream: a 2-byte big-endian length, then as many bytes (NZ-ROUTING-01 §2.1). */
import { MAX_MESSAGE_BYTES } from './limits.ts'

export const ROUTE_PROTOCOL = '/nz/route/1'
const LENGTH_BYTES = 2

/** The messages one after another, ready to be written. */
export function joinMessages(messages: readonly Uint8Array[]): Uint8Array {
  const length = messages.reduce((sum, message) => sum + LENGTH_BYTES + message.length, 0)
  const bytes = Buffer.allocUnsafe(length)
  let at = 0
  for (const message of messages) {
    bytes.writeUInt16BE(message.length, at)
    bytes.set(message, at + LENGTH_BYTES)
    at += LENGTH_BYTES + message.length
  }
  return bytes
}

/** Cuts what a stream brings into messages; holds less than one message. */
export class MessageSplitter {
  #rest: Uint8Array = new Uint8Array(0)

  /** The whole messages up to here, as views; `null` once one is longer than it may be. */
  push(bytes: Uint8Array): readonly Uint8Array[] | null {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    const view = new DataView(all.buffer, all.byteOffset, all.byteLength)
    const messages: Uint8Array[] = []
    let at = 0
    while (all.length - at >= LENGTH_BYTES) {
      const length = view.getUint16(at)
      if (length > MAX_MESSAGE_BYTES) return null
      if (all.length - at < LENGTH_BYTES + length) break
      messages.push(all.subarray(at + LENGTH_BYTES, at + LENGTH_BYTES + length))
      at += LENGTH_BYTES + length
    }
    this.#rest = all.slice(at)
    return messages
  }
}
