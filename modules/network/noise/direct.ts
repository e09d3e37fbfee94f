/**
 * How a muxer and the secured stream below it pass bytes without an event for each piece: events are for strangers,
 * and cost more than a small message.
 */
import type { MessageStream } from '@libp2p/interface'

/** A method of a secured stream that offers it; others do not have it. */
export const direct = Symbol('nzcore.noise.direct')

export interface DirectSink {
  /** Plaintext of one record, or of what was opened before; the sink may keep it. Its errors cut the connection. */
  onPlaintext(bytes: Uint8Array): void
  /** The port has room again. */
  onDrain(): void
}

export interface DirectPort {
  /**
   * Seals the parts, together at most `maxBytes`, as one record and writes it. They are not needed afterwards. The
   * record is written also when the port is full: who waits for `onDrain` bounds what is held.
   */
  write(parts: readonly Uint8Array[], byteLength: number): void
  readonly maxBytes: number
  /** Whether enough bytes wait for the socket. */
  readonly isFull: boolean
  readonly rxRecords: number
  readonly txRecords: number
}

export interface DirectSource extends MessageStream {
  /** From now on plaintext goes to `sink` and to nobody else. Once. */
  [direct](sink: DirectSink): DirectPort
}

export function isDirect(stream: MessageStream): stream is DirectSource {
  return typeof Reflect.get(stream, direct) === 'function'
}
