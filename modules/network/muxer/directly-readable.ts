/** A stream that can be read without events, and whose peer gets room only for what was used. */
import type { Stream } from '@libp2p/interface'

/** A method of a stream of our muxers; others do not have it. */
export const readDirectly = Symbol('nzcore.muxer.readDirectly')

export interface DirectlyReadable extends Stream {
  /** Whether bytes given to a sink are its only for the time of the call; else it may keep them. */
  readonly lendsBytes: boolean
  /**
   * From now on all bytes go to `sink` and no `message` event comes. The peer may send one window
   * until `took` says that bytes were used. Once.
   */
  [readDirectly](sink: (bytes: Uint8Array) => void): void
  /** The application used `byteLength` of the bytes: the peer may send as much again. */
  took(byteLength: number): void
}

export function isDirectlyReadable(stream: Stream): stream is DirectlyReadable {
  return typeof Reflect.get(stream, readDirectly) === 'function'
}
