/**
 * How a muxer takes a secured connection over from the stream that secures it: the connection below, both cipher
 * states and every byte that arrived and was not delivered.
 */
import type { MessageStream } from '@libp2p/interface'

/** A method of a secured stream that can be taken over; others do not have it. */
export const takeOver = Symbol('nzcore.noise.takeOver')

/** What a secured stream travels on, to be looked at before anything is taken over. */
export const below = Symbol('nzcore.noise.below')

/** The owner zeroes the keys. */
export interface CipherKey {
  /** 32 bytes, ChaCha20-Poly1305. */
  readonly key: Uint8Array
  /** The next nonce. */
  readonly count: number
}

export interface TakenOver {
  /** What the records travel on; the stream that secured it listens to it no longer. */
  readonly connection: MessageStream
  readonly sender: CipherKey
  readonly receiver: CipherKey
  /** Plaintext that was opened and not delivered, first. */
  readonly plaintext: Uint8Array
  /** Bytes of records that are not opened yet. */
  readonly sealed: Uint8Array
}

export interface TakeOverSource extends MessageStream {
  readonly [below]: MessageStream
  /**
   * Everything, once. From then on the secured stream neither seals nor opens: its cipher states are poisoned in the
   * same step, because a nonce used twice is a catastrophe. `null` when something of it is under way (bytes sealed and
   * not written, a closing connection): leave the connection as it is then.
   */
  [takeOver](): TakenOver | null
}

export function canBeTakenOver(stream: MessageStream): stream is TakeOverSource {
  return typeof Reflect.get(stream, takeOver) === 'function' && Reflect.has(stream, below)
}
