/** One stream of an incoming transfer: admission, data into the sink, acknowledgements out. spec/NZ-TRANSFER-01 §5. */
import { isNzError, sleep } from '../../kernel/index.ts'
import { ReceiverMachine } from '../../protocols/transfer/receiver.ts'
import { networkErrors } from '../network/service.ts'
import { transfersErrors } from './service.ts'
import { Gate } from './gate.ts'
import { errorOfStop, stopOfError } from './stop-codes.ts'
import type { Clock } from '../../kernel/index.ts'
import type { End, Offer, ReceiptMessage } from '../../protocols/transfer/messages.ts'
import type { ReceiverStep } from '../../protocols/transfer/receiver.ts'
import type { TransferChannel } from './channel.ts'
import type { ReceiveSink } from './sink.ts'

/** How long a small rest waits for more before it is flushed. */
const FLUSH_DELAY_MS = 20

type Receipt = Omit<ReceiptMessage, 'type'>

/** An offer that was taken. */
export interface Admitted {
  readonly sink: ReceiveSink
  readonly onProgress: (bytes: number, state: 'moving' | 'finishing') => void
  /** Everything is safe and its hash is right: puts it in its place. */
  readonly complete: (end: End) => Promise<Receipt>
  /** The stream is over: with a receipt, or with what ended it. Awaited before a next stream may begin. */
  readonly release: (error: unknown) => Promise<void>
}

export interface IncomingStreamInit {
  readonly clock: Clock
  readonly maxBytes: number
  /** Takes or refuses an offer, or gives the receipt of what was completed before. */
  readonly admit: (offer: Offer) => Promise<Admitted | { readonly receipt: Receipt }>
}

export class IncomingStream {
  readonly #channel: TransferChannel
  readonly #init: IncomingStreamInit
  readonly #machine: ReceiverMachine
  readonly #changed = new Gate()
  readonly #failed = Promise.withResolvers<never>()
  #admitted: Admitted | null = null
  #flushing: Promise<void> | null = null
  /** What the last event of the peer that takes time has set going. */
  #acting: Promise<boolean> | null = null
  #isEnded = false
  #isEnding = false
  /** From here on the bytes get their final name: that is not left half done. */
  #isCompleting = false
  #isOver = false

  constructor(channel: TransferChannel, init: IncomingStreamInit) {
    this.#channel = channel
    this.#init = init
    this.#machine = new ReceiverMachine({ maxBytes: init.maxBytes })
    this.#failed.promise.catch(() => undefined)
  }

  /** Ends the stream from this side; the peer is told why. What is verified already is still completed. */
  end(error: Error): void {
    if (this.#isCompleting) return
    this.#isEnding = true
    this.#failed.reject(error)
  }

  /** Runs to the end of the stream; never throws: the outcome is told to `release`. */
  async run(): Promise<void> {
    let failure: unknown = null
    try {
      await Promise.race([this.#listen(), this.#failed.promise])
      await this.#channel.close()
    } catch (error) {
      failure = error
      await this.#sayStop(error)
    }
    this.#isOver = true
    this.#changed.open()
    this.#channel.reset()
    // Whatever uses the sink has to let go of it before another stream may take it.
    await this.#acting?.catch(() => undefined)
    await this.#flushing
    await this.#admitted?.release(failure)
  }

  async #listen(): Promise<void> {
    const isDone = await this.#channel.receive((event) => this.#act(this.#machine.receive(event)))
    if (!isDone) throw networkErrors.NZ_NETWORK_STREAM_RESET({ why: 'the sender closed the stream' })
  }

  /** `true` after the receipt. Data is stored at once: its bytes are lent. */
  #act(step: ReceiverStep): boolean | Promise<boolean> {
    switch (step.do) {
      case 'nothing':
        return false
      case 'store':
        this.#sink().push(step.bytes)
        this.#changed.open()
        return false
      case 'stop':
        throw errorOfStop(step.code, {})
      case 'decide':
      case 'begin':
      case 'complete':
        this.#acting = this.#actSlowly(step)
        return this.#acting
    }
  }

  async #actSlowly(step: Extract<ReceiverStep, { do: 'decide' | 'begin' | 'complete' }>): Promise<boolean> {
    switch (step.do) {
      case 'decide':
        return await this.#decide(step.offer)
      case 'begin':
        await this.#sink().cut(step.offset)
        this.#admitted?.onProgress(step.offset, 'moving')
        this.#flushing = this.#flush().catch((error: unknown) => this.#failed.reject(error))
        return false
      case 'complete':
        await this.#complete(step.end)
        return true
    }
  }

  async #decide(offer: Offer): Promise<boolean> {
    const admitted = await this.#init.admit(offer)
    if ('receipt' in admitted) {
      await this.#channel.send(this.#machine.receipt(admitted.receipt))
      return true
    }
    if (this.#isOver) {
      await admitted.release(networkErrors.NZ_NETWORK_STREAM_RESET())
      return true
    }
    this.#admitted = admitted
    const { offset, sha256 } = await admitted.sink.open()
    await this.#channel.send(this.#machine.accept(offset, sha256))
    return false
  }

  async #complete(end: End): Promise<void> {
    this.#isEnded = true
    this.#changed.open()
    await this.#flushing
    const admitted = this.#admitted
    if (admitted === null) throw new Error('completed without an offer')
    if (this.#machine.acked < this.#machine.offset) throw transfersErrors.NZ_TRANSFERS_STORAGE_FAILED()
    admitted.onProgress(end.size, 'finishing')
    if (Buffer.compare(admitted.sink.sha256(), end.sha256) !== 0) throw transfersErrors.NZ_TRANSFERS_HASH_MISMATCH()
    if (this.#isEnding) await this.#failed.promise
    this.#isCompleting = true
    const receipt = await admitted.complete(end)
    await this.#channel.send(this.#machine.receipt(receipt))
  }

  /** Makes data safe and acknowledges it, beside the reading, until the end of the data or of the stream. */
  async #flush(): Promise<void> {
    const sink = this.#sink()
    for (;;) {
      if (sink.pendingBytes === 0) {
        if (this.#isEnded || this.#isOver) return
        await this.#changed.pass()
        continue
      }
      if (sink.pendingBytes < sink.batchBytes && !this.#isEnded && !this.#isOver) await this.#gather()
      const safe = await sink.flush()
      this.#admitted?.onProgress(safe, 'moving')
      const ack = this.#machine.ack(safe)
      if (ack !== null && !this.#isOver) await this.#channel.send(ack)
    }
  }

  async #gather(): Promise<void> {
    await sleep(this.#init.clock, FLUSH_DELAY_MS, { signal: this.#channel.signal }).catch(() => undefined)
  }

  #sink(): ReceiveSink {
    if (this.#admitted === null) throw new Error('no offer was taken')
    return this.#admitted.sink
  }

  /** Tells the peer why, when it is this side that ends it. */
  async #sayStop(error: unknown): Promise<void> {
    if (this.#channel.signal.aborted) return
    if (isNzError(error) && error.code.startsWith('NZ_NETWORK_')) return
    const limit = new AbortController()
    try {
      await Promise.race([this.#stopAndClose(error), sleep(this.#init.clock, 2_000, { signal: limit.signal })])
    } catch {
      // The stream is broken: there is nobody to tell.
    } finally {
      limit.abort()
    }
  }

  async #stopAndClose(error: unknown): Promise<void> {
    await this.#channel.send(this.#machine.stop(stopOfError(error)))
    await this.#channel.close()
  }
}
