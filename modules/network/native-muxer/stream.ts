/** A libp2p stream of the native session: bytes go straight into the ring and come straight out of batches. */
import { DirectStream } from '../muxer/direct-stream.ts'
import { orAbort } from '../../../kernel/index.ts'
import type { AbortOptions } from '@libp2p/interface'
import type { AbstractStreamInit, SendResult } from '@libp2p/utils'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { NativeSession } from '../../../native/binding.ts'

/**
 * Written bytes behind which a mark is set, and marks that may be under way: what waits in the session for the peer. A
 * mark that is answered wakes this thread up.
 */
const MARK_BYTES = 256 * 1024
const MAX_MARKS = 2
/** Used bytes are told to the session in portions, which wake its thread up; what is held back is below a half window. */
const REPORT_BYTES = 64 * 1024
/** From here on the session's own memory is kept in place of a copy: what that costs does not depend on the size. */
const KEEP_FROM_BYTES = 32 * 1024

export interface NativeStreamInit extends AbstractStreamInit {
  /** As on the wire. */
  readonly number: number
  readonly session: NativeSession
}

export class NativeStream extends DirectStream {
  /** The session uses its memory again as soon as it has told. */
  readonly lendsBytes = true
  readonly number: number
  readonly #session: NativeSession
  #unmarkedBytes = 0
  #marks = 0
  #unreportedBytes = 0
  /** Of a `close` that waits. */
  #onAllLeft: (() => void) | null = null
  /** What the peer sent right behind its opening, until whoever takes the stream up has had the rest of the turn. */
  #early: Array<() => void> | null = null

  constructor({ number, session, ...init }: NativeStreamInit) {
    super(init)
    this.number = number
    this.#session = session
    if (this.direction === 'outbound') return
    // Opening, bytes and end may come in one batch; libp2p's iterators miss an end that came before they began.
    this.#early = []
    setImmediate(() => {
      const early = this.#early ?? []
      this.#early = null
      for (const tell of early) tell()
    })
  }

  override send(data: Uint8Array | Uint8ArrayList): boolean {
    const isQueued = this.writeBuffer.byteLength > 0 || this.writableNeedsDrain || this.sendingData
    if (isQueued || this.writeStatus !== 'writable' || !(data instanceof Uint8Array)) return super.send(data)
    if (this.maxWriteBufferLength !== undefined) return super.send(data)
    const sentBytes = this.#write(data)
    if (sentBytes < data.byteLength) this.writeBuffer.append(data.subarray(sentBytes))
    else if (this.#marks < MAX_MARKS) return true
    this.writableNeedsDrain = true
    return false
  }

  override sendData(data: Uint8ArrayList): SendResult {
    let sentBytes = 0
    for (const part of data) {
      const partBytes = this.#write(part)
      sentBytes += partBytes
      if (partBytes < part.byteLength) return { sentBytes, canSendMore: false }
    }
    return { sentBytes, canSendMore: this.#marks < MAX_MARKS }
  }

  /** What was written before a mark has left the session. */
  marked(): void {
    this.#marks -= 1
    if (this.#marks === 0) this.#onAllLeft?.()
    this.drained()
  }

  /** There is room where there was none. */
  drained(): void {
    if (this.writableNeedsDrain && this.#marks < MAX_MARKS) this.safeDispatchEvent('drain')
  }

  /** The peer writes no more. */
  ended(): void {
    if (this.#early === null) this.onRemoteCloseWrite()
    else this.#early.push(() => this.onRemoteCloseWrite())
  }

  wasReset(): void {
    if (this.#early === null) this.onRemoteReset()
    else this.#early.push(() => this.onRemoteReset())
  }

  override deliver(bytes: Uint8Array): void {
    if (this.#early === null) return super.deliver(bytes)
    const kept = bytes.slice()
    this.#early.push(() => super.deliver(kept))
  }

  took(byteLength: number): void {
    this.#unreportedBytes += byteLength
    if (this.#unreportedBytes < REPORT_BYTES) return
    this.#session.consumed(this.number, this.#unreportedBytes)
    this.#unreportedBytes = 0
  }

  protected override own(bytes: Uint8Array): Uint8Array {
    const kept = bytes.byteLength < KEEP_FROM_BYTES ? null : this.#session.keep(bytes)
    return kept ?? super.own(bytes)
  }

  override sendReset(): void {
    this.#session.reset(this.number)
  }

  /** The end follows the last byte by itself; when bytes wait for the peer, this waits with them. */
  override async sendCloseWrite({ signal }: AbortOptions = {}): Promise<void> {
    const isHeldUp = this.#marks > 0
    if (isHeldUp) {
      this.#session.mark(this.number)
      this.#marks += 1
    }
    this.#session.closeWrite(this.number)
    if (!isHeldUp) return
    const left = Promise.withResolvers<void>()
    this.#onAllLeft = left.resolve
    this.addEventListener('close', this.#onAllLeft, { once: true })
    await orAbort(left.promise, signal)
  }

  /** How many bytes the session took: fewer when it holds as many for the peer as it may, or when the ring is full. */
  #write(bytes: Uint8Array): number {
    let sentBytes = 0
    while (sentBytes < bytes.byteLength && this.#marks < MAX_MARKS) {
      const room = MARK_BYTES - this.#unmarkedBytes
      const isWhole = sentBytes === 0 && bytes.byteLength <= room
      const piece = isWhole ? bytes : bytes.subarray(sentBytes, sentBytes + room)
      const taken = this.#session.write(this.number, piece)
      sentBytes += taken
      this.#unmarkedBytes += taken
      if (this.#unmarkedBytes >= MARK_BYTES) {
        this.#session.mark(this.number)
        this.#marks += 1
        this.#unmarkedBytes = 0
      }
      if (taken < piece.byteLength) break
    }
    return sentBytes
  }
}
