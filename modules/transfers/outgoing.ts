/** One transfer being sent, over as many streams as it takes. spec/NZ-TRANSFER-01 §4. */
import { deadline, isNzError, sleep } from '../../kernel/index.ts'
import { MAX_DATA_BYTES, TRANSFER_PROTOCOL } from '../../protocols/transfer/limits.ts'
import { SendWindow } from '../../protocols/transfer/window.ts'
import { networkErrors } from '../network/service.ts'
import { transfersErrors } from './service.ts'
import { TransferChannel } from './channel.ts'
import { OutgoingStream } from './outgoing-stream.ts'
import { stopOfError } from './stop-codes.ts'
import type { Clock, Random } from '../../kernel/index.ts'
import type { ReceiptFacts } from '../../protocols/transfer/receipt.ts'
import type { ReceiptMessage, StopCode } from '../../protocols/transfer/messages.ts'
import type { NetworkService } from '../network/service.ts'
import type { Receipt, TransferSnapshot } from './service.ts'
import type { TransferProgress } from './progress.ts'
import type { TransferSource } from './source.ts'

/** How long connecting and opening the stream may take. */
const OPEN_TIMEOUT_MS = 15_000

/** How long a peer that was never reached, or is not receiving, is tried. */
const FIRST_PATIENCE_MS = 2_000

const MIN_RETRY_MS = 100
const MAX_RETRY_MS = 5_000

/** Of the three, only a cancelled transfer is over for the receiver, too. */
const stopCodes = {
  cancelled: 'cancelled',
  gone: 'source-failed',
  stopping: 'shutting-down',
} as const satisfies Record<string, StopCode>

export interface OutgoingServices {
  readonly network: NetworkService
  readonly clock: Clock
  readonly random: Random
  /** The receipt in its shape for people, when it is this transfer's, signed by `receiver`; else `null`. */
  readonly checkReceipt: (message: ReceiptMessage, facts: ReceiptFacts) => Receipt | null
}

export interface OutgoingInit {
  readonly transferId: Uint8Array
  /** Where the peer may be reached now; asked before each try. */
  readonly addresses: () => readonly string[]
  readonly source: TransferSource
  readonly progress: TransferProgress
  readonly timeoutMs: number
}

export class OutgoingTransfer {
  readonly #services: OutgoingServices
  readonly #init: OutgoingInit
  readonly #window = new SendWindow()
  readonly #cancelled = new AbortController()
  /** What the receiver is told when this side ends it. */
  #stopCode: StopCode = 'cancelled'
  #reading: Promise<void> | null = null
  #isExhausted = false
  #readFailure: Error | null = null
  /** Whether the peer ever took the offer. */
  #wasAccepted = false
  /** Tries since something was last acknowledged. */
  #fruitlessTries = 0
  /** Since when nothing has been acknowledged for want of a connection; `null` while it goes on. */
  #strandedSinceMs: number | null = null

  constructor(services: OutgoingServices, init: OutgoingInit) {
    this.#services = services
    this.#init = init
  }

  /** What the receiver holds is deleted, unless somebody may go on with it. */
  cancel(why: 'cancelled' | 'gone' | 'stopping'): void {
    // A stream of bytes has no second beginning: nobody can go on with it.
    const isResumable = this.#init.source.token !== null
    if (!this.#cancelled.signal.aborted && isResumable) this.#stopCode = stopCodes[why]
    this.#cancelled.abort(transfersErrors.NZ_TRANSFERS_CANCELLED())
  }

  /** Runs to the end; never throws: the outcome is in the progress. */
  async run(): Promise<TransferSnapshot> {
    const { progress, source } = this.#init
    try {
      for (;;) {
        const done = await this.#attempt()
        if (done !== null) return progress.done(done)
      }
    } catch (error) {
      return progress.fail(this.#cancelled.signal.aborted ? this.#cancelled.signal.reason : error)
    } finally {
      await source.close()
    }
  }

  /** One stream; `null` when it was cut and is worth another try after a pause. */
  async #attempt(): Promise<Partial<TransferSnapshot> | null> {
    const { clock, random } = this.#services
    const { signal } = this.#cancelled
    const acked = this.#window.acked
    try {
      return await this.#stream()
    } catch (error) {
      signal.throwIfAborted()
      if (this.#window.acked > acked) {
        this.#strandedSinceMs = null
        this.#fruitlessTries = 0
      }
      const nowMs = clock.monotonicMs()
      this.#strandedSinceMs ??= nowMs
      this.#decide(error, nowMs - this.#strandedSinceMs)
      this.#init.progress.update({ state: 'waiting', code: isNzError(error) ? error.code : null })
      const pauseMs =
        Math.min(MAX_RETRY_MS, MIN_RETRY_MS * 2 ** Math.min(this.#fruitlessTries++, 10)) * (0.5 + random.unit() / 2)
      await sleep(clock, pauseMs, { signal })
      return null
    }
  }

  /** Throws when `error` is final or the patience for it is over. */
  #decide(error: unknown, strandedMs: number): void {
    if (!isNzError(error)) throw error
    const { timeoutMs } = this.#init
    // Two people start the two commands at about the same time: the receiver may be a moment late.
    const isLate = error.code === 'NZ_TRANSFERS_NOT_RECEIVING' && !this.#wasAccepted
    const isFromPeer = error.code === 'NZ_TRANSFERS_BUSY'
    const isCut = error.code.startsWith('NZ_NETWORK_') && error.code !== 'NZ_NETWORK_BLOCKED'
    if (!isFromPeer && !isCut && !isLate) throw error
    if (this.#wasAccepted || isFromPeer) {
      if (strandedMs >= timeoutMs) {
        if (isFromPeer) throw error
        throw transfersErrors.NZ_TRANSFERS_TIMED_OUT({ cause: error, data: { waitedMs: Math.round(strandedMs) } })
      }
    } else if (strandedMs >= Math.min(timeoutMs, FIRST_PATIENCE_MS)) throw error
  }

  async #stream(): Promise<Partial<TransferSnapshot>> {
    const { clock, checkReceipt, network } = this.#services
    const { progress } = this.#init
    const channel = await this.#open()
    const { peerId, name } = progress.snapshot()
    const stream = new OutgoingStream(channel, this.#window, {
      offer: { id: this.#init.transferId, name, size: this.#init.source.size, token: this.#init.source.token },
      signal: this.#cancelled.signal,
      stopOf: (error) => (this.#cancelled.signal.aborted ? this.#stopCode : stopOfError(error)),
      clock,
      resumeAt: async (offset, sha256) => await this.#resumeAt(offset, sha256),
      fill: async () => await this.#fill(),
      onAcked: (frames) => this.#onAcked(frames),
    })
    const receipt = await stream.run()
    if (!this.#isExhausted) throw transfersErrors.NZ_TRANSFERS_RECEIPT_INVALID({ why: 'it came before the end' })
    const size = this.#window.end
    const sha256 = this.#window.prefixSha256(size)
    const facts = { transfer: this.#init.transferId, sender: network.peerId, receiver: peerId, name, size, sha256 }
    const checked = checkReceipt(receipt, facts)
    if (checked === null) throw transfersErrors.NZ_TRANSFERS_RECEIPT_INVALID({ data: { peerId } })
    return { receipt: checked, bytes: size, size, sha256: Buffer.from(sha256).toString('hex') }
  }

  async #open(): Promise<TransferChannel> {
    const { clock, network } = this.#services
    const { peerId } = this.#init.progress.snapshot()
    using limit = deadline(clock, OPEN_TIMEOUT_MS, { signal: this.#cancelled.signal })
    const { signal } = limit
    try {
      await network.connect(peerId, { addresses: this.#init.addresses(), signal })
      return new TransferChannel(await network.openStream(peerId, TRANSFER_PROTOCOL, { signal }), clock)
    } catch (cause) {
      if (isNzError(cause) || !limit.isOver) throw cause
      throw networkErrors.NZ_NETWORK_UNREACHABLE({ cause, data: { peerId } })
    }
  }

  /** Where to go on when the receiver holds `offset` bytes with that hash. */
  async #resumeAt(offset: number, sha256: Uint8Array): Promise<number> {
    await this.#reading
    this.#wasAccepted = true
    const start = this.#startInWindow(offset, sha256) ?? (await this.#startInSource(offset, sha256))
    this.#init.progress.update({ state: 'moving', code: null, bytes: start })
    return start
  }

  #startInWindow(offset: number, sha256: Uint8Array): number | null {
    const window = this.#window
    if (!window.holds(offset) || offset < window.acked) return null
    // What is beyond the last acknowledged byte may be torn; what is before it was on stable storage.
    const start = isSame(window.prefixSha256(offset), sha256) ? offset : window.acked
    if (start === offset || start > 0) this.#onAcked(window.ack(start))
    return start
  }

  async #startInSource(offset: number, sha256: Uint8Array): Promise<number> {
    const { source } = this.#init
    const held = await source.rewind(offset)
    const isHeld = held !== null && isSame(held.copy().digest(), sha256)
    const start = isHeld ? offset : 0
    const hash = isHeld ? held : await source.rewind(0)
    if (hash === null) throw transfersErrors.NZ_TRANSFERS_CANNOT_RESUME({ data: { offset, acked: this.#window.acked } })
    this.#window.rewind(start, hash)
    this.#isExhausted = false
    return start
  }

  /** Takes more from the source into the window; `false` at its end. */
  async #fill(): Promise<boolean> {
    if (this.#isExhausted) return false
    this.#reading ??= this.#read()
    await this.#reading
    if (this.#readFailure !== null) throw this.#readFailure
    return !this.#isExhausted
  }

  /** Belongs to no stream: what arrives while there is none must not be lost, so it never throws. */
  async #read(): Promise<void> {
    const { source } = this.#init
    try {
      const frame = await source.read(Math.min(this.#window.room, MAX_DATA_BYTES))
      if (frame !== null) this.#window.append(frame)
      else await source.verify()
      this.#isExhausted = frame === null
    } catch (error) {
      this.#readFailure = isNzError(error) ? error : transfersErrors.NZ_TRANSFERS_SOURCE_FAILED({ cause: error })
    } finally {
      this.#reading = null
    }
  }

  #onAcked(frames: readonly Uint8Array[]): void {
    for (const frame of frames) this.#init.source.recycle(frame)
    const { progress } = this.#init
    if (progress.snapshot().bytes < this.#window.acked) this.#strandedSinceMs = null
    progress.update({ bytes: this.#window.acked })
  }
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0
}
