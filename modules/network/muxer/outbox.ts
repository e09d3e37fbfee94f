/**
 * Frames on their way out. What is sent within one turn of the event loop shares records: the first frame of a turn
 * leaves at the end of the running task, so that an answer waits for nothing; whoever sends on and on, also with an
 * `await` between its messages, is collected until a record is full or the turn ends. Successive messages of one stream
 * become one data frame.
 */
import { FRAME, HEADER_BYTES } from '../../../protocols/yamux/constants.ts'
import { writeHeader, writeLength } from '../../../protocols/yamux/header.ts'
import type { SessionOutput } from '../../../protocols/yamux/session.ts'
import type { DirectPort } from '../noise/direct.ts'

/** From this size on a payload is sealed where it lies; copying it would cost more than handing over another part. */
const COPY_BELOW_BYTES = 16 * 1_024
/** Frames without payload that may wait for a peer that does not read: answers to pings, refusals of streams. */
export const MAX_WAITING_CONTROL_BYTES = 256 * 1_024

export interface OutboxInit {
  readonly port: DirectPort
  /**
   * Whether messages of one stream may share a frame. A stream is bytes, yet on connections that are not ours each
   * message stays a frame: there are users of libp2p, its compliance suite among them, who count on it.
   */
  readonly mergesMessages: boolean
  /** Called before what was collected leaves: last chance to add to it. */
  readonly beforeFlush: () => void
  /** The peer makes this side answer and does not take the answers. */
  readonly onFlooded: () => void
  readonly onError: (error: unknown) => void
}

export class Outbox implements SessionOutput {
  readonly #init: OutboxInit
  readonly #maxBytes: number
  #buffer: Uint8Array | null = null
  #used = 0
  /** The data frame that ends what was collected and can still be made longer; -1 without one. */
  #openFrameAt = -1
  #openFrameStream = 0
  #openFrameBytes = 0
  #isFlushScheduled = false
  #hasFlushedThisTurn = false
  #waitingControlBytes = 0
  #isClosed = false
  txFrames = 0

  constructor(init: OutboxInit) {
    this.#init = init
    this.#maxBytes = init.port.maxBytes
  }

  get isFull(): boolean {
    return this.#init.port.isFull
  }

  /** Something arrived, so this is another turn than the one before. */
  newTurn(): void {
    this.#hasFlushedThisTurn = false
  }

  frame(type: number, flags: number, streamId: number, length: number): void {
    if (this.#isClosed) return
    if (!this.#init.port.isFull) this.#waitingControlBytes = 0
    else if ((this.#waitingControlBytes += HEADER_BYTES) > MAX_WAITING_CONTROL_BYTES) return this.#init.onFlooded()
    if (this.#used + HEADER_BYTES > this.#maxBytes) this.#seal()
    this.#used = writeHeader(this.#collecting(), this.#used, type, flags, streamId, length)
    this.#openFrameAt = -1
    this.txFrames += 1
    this.schedule()
  }

  data(flags: number, streamId: number, bytes: Uint8Array): void {
    if (this.#isClosed) return
    let rest = bytes
    let firstFlags = flags
    while (rest.byteLength > 0) {
      const room = this.#openFrame(firstFlags, streamId)
      firstFlags = 0
      const part = rest.byteLength > room ? rest.subarray(0, room) : rest
      rest = rest.byteLength > room ? rest.subarray(room) : EMPTY
      this.#openFrameBytes += part.byteLength
      writeLength(this.#collecting(), this.#openFrameAt, this.#openFrameBytes)
      if (part.byteLength >= COPY_BELOW_BYTES) {
        this.#seal(part)
        continue
      }
      this.#collecting().set(part, this.#used)
      this.#used += part.byteLength
      if (this.#used === this.#maxBytes) this.#seal()
    }
    if (this.#used > 0) this.schedule()
  }

  schedule(): void {
    if (this.#isFlushScheduled || this.#isClosed) return
    this.#isFlushScheduled = true
    if (this.#hasFlushedThisTurn) setImmediate(this.#flushOfNextTurn)
    else queueMicrotask(this.#flushScheduled)
  }

  /** Sends what was collected, now. */
  flush(): void {
    this.#hasFlushedThisTurn = true
    if (this.#isClosed) return
    try {
      this.#init.beforeFlush()
      if (this.#used > 0) this.#seal()
    } catch (error) {
      this.#init.onError(error)
    }
  }

  /** Nothing leaves any more. */
  close(): void {
    this.#isClosed = true
    this.#giveBack()
    this.#used = 0
  }

  readonly #flushScheduled = (): void => {
    this.#isFlushScheduled = false
    this.flush()
  }

  readonly #flushOfNextTurn = (): void => {
    this.#isFlushScheduled = false
    this.flush()
    this.#hasFlushedThisTurn = false
  }

  /** Makes sure that a data frame of the stream is last, and returns how many bytes it can still take. */
  #openFrame(flags: number, streamId: number): number {
    const canExtend =
      this.#openFrameAt !== -1 && this.#openFrameStream === streamId && flags === 0 && this.#init.mergesMessages
    if (canExtend && this.#used < this.#maxBytes) return this.#maxBytes - this.#used
    if (this.#used + HEADER_BYTES >= this.#maxBytes) this.#seal()
    this.#openFrameAt = this.#used
    this.#openFrameStream = streamId
    this.#openFrameBytes = 0
    this.#used = writeHeader(this.#collecting(), this.#used, FRAME.data, flags, streamId, 0)
    this.txFrames += 1
    return this.#maxBytes - this.#used
  }

  #collecting(): Uint8Array {
    this.#buffer ??= spareBuffers.pop() ?? new Uint8Array(MAX_RECORD_BYTES)
    return this.#buffer
  }

  #seal(payload?: Uint8Array): void {
    const head = this.#collecting().subarray(0, this.#used)
    const parts = payload === undefined ? [head] : [head, payload]
    this.#used = 0
    this.#openFrameAt = -1
    try {
      this.#init.port.write(parts, head.byteLength + (payload?.byteLength ?? 0))
    } catch (error) {
      // Whoever sends on a stream is not to blame for the connection.
      this.#init.onError(error)
    } finally {
      this.#giveBack()
    }
  }

  #giveBack(): void {
    if (this.#buffer !== null && spareBuffers.length < MAX_SPARE_BUFFERS) spareBuffers.push(this.#buffer)
    this.#buffer = null
  }
}

const EMPTY = new Uint8Array(0)
/** Buffers of records, used by whoever sends in this turn; an idle connection holds none. */
const spareBuffers: Uint8Array[] = []
const MAX_SPARE_BUFFERS = 16
const MAX_RECORD_BYTES = 65_519
