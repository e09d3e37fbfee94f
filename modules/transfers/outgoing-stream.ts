/** One stream of an outgoing transfer: what the peer says and what is sent, side by side, until receipt, stop or cut. */
import { isNzError } from '../../kernel/index.ts'
import { networkErrors } from '../network/service.ts'
import { SenderMachine } from '../../protocols/transfer/sender.ts'
import { Gate } from './gate.ts'
import { errorOfStop } from './stop-codes.ts'
import type { Clock } from '../../kernel/index.ts'
import type { Offer, ReceiptMessage, StopCode } from '../../protocols/transfer/messages.ts'
import type { SenderStep } from '../../protocols/transfer/sender.ts'
import type { SendWindow } from '../../protocols/transfer/window.ts'
import type { TransferChannel } from './channel.ts'

/** How long a `stop` may take to leave. */
const STOP_TIMEOUT_MS = 2_000

export interface OutgoingStreamInit {
  readonly offer: Omit<Offer, 'type'>
  readonly signal: AbortSignal
  /** What the peer is told when `error` ended it on this side. */
  readonly stopOf: (error: unknown) => StopCode
  readonly clock: Clock
  /** Where to go on when the receiver holds `offset` bytes with that hash. */
  readonly resumeAt: (offset: number, sha256: Uint8Array) => Promise<number>
  /** Takes more from the source into the window, which has room; `false` at the end of the source. */
  readonly fill: () => Promise<boolean>
  readonly onAcked: (freedFrames: readonly Uint8Array[]) => void
}

export class OutgoingStream {
  readonly #channel: TransferChannel
  readonly #window: SendWindow
  readonly #init: OutgoingStreamInit
  readonly #machine = new SenderMachine()
  readonly #changed = new Gate()
  readonly #failed = Promise.withResolvers<never>()
  #isOver = false
  #writing: Promise<void> | null = null

  constructor(channel: TransferChannel, window: SendWindow, init: OutgoingStreamInit) {
    this.#channel = channel
    this.#window = window
    this.#init = init
  }

  /** @throws what the peer stopped with, what the source failed with, NZ_NETWORK_STREAM_RESET when it was cut */
  async run(): Promise<ReceiptMessage> {
    const { signal } = this.#init
    const onAbort = (): void => this.#failed.reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    this.#failed.promise.catch(() => undefined)
    try {
      signal.throwIfAborted()
      await Promise.race([this.#channel.send(this.#machine.offer(this.#init.offer)), this.#failed.promise])
      const receipt = await Promise.race([this.#listen(), this.#failed.promise])
      await this.#channel.close()
      return receipt
    } catch (error) {
      await this.#sayStop(error)
      throw error
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#isOver = true
      this.#changed.open()
      this.#channel.reset()
      await this.#writing
    }
  }

  async #listen(): Promise<ReceiptMessage> {
    let receipt: ReceiptMessage | null = null
    await this.#channel.receive((event) => {
      const step = this.#machine.receive(event)
      if (step.do === 'checkReceipt') ({ receipt } = step)
      return receipt === null ? this.#act(step) : true
    })
    if (receipt === null) throw networkErrors.NZ_NETWORK_STREAM_RESET({ why: 'the peer closed the stream' })
    return receipt
  }

  /** Never `true`: only the receipt is the end. */
  #act(step: SenderStep): false | Promise<false> {
    switch (step.do) {
      case 'nothing':
      case 'checkReceipt':
        return false
      case 'checkPrefix':
        return this.#begin(step.offset, step.sha256)
      case 'forget':
        this.#init.onAcked(this.#window.ack(step.offset))
        this.#changed.open()
        return false
      case 'stop':
        throw errorOfStop(step.code, { peerId: null })
    }
  }

  async #begin(offset: number, sha256: Uint8Array): Promise<false> {
    const start = await this.#init.resumeAt(offset, sha256)
    await this.#channel.send(this.#machine.begin(start))
    this.#writing = this.#write().catch((error: unknown) => this.#failed.reject(error))
    return false
  }

  async #write(): Promise<void> {
    const machine = this.#machine
    while (!this.#isOver) {
      const next = this.#window.frameAt(machine.offset)
      if (next === null) {
        if (!this.#window.hasRoomForFrame) await this.#changed.pass()
        else if (!(await this.#fillOrOver())) break
        continue
      }
      if (machine.credit < next.end - machine.offset) {
        await this.#changed.pass()
        continue
      }
      machine.sent(next.end)
      await this.#channel.sendFrame(next.frame)
    }
    if (this.#isOver) return
    await this.#channel.send(machine.end(this.#window.prefixSha256(this.#window.end)))
  }

  /** A source may be silent for long: the end of the stream must not wait for it. */
  async #fillOrOver(): Promise<boolean> {
    const over = Promise.withResolvers<boolean>()
    const onAbort = (): void => over.resolve(true)
    this.#channel.signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await Promise.race([this.#init.fill(), over.promise])
    } finally {
      this.#channel.signal.removeEventListener('abort', onAbort)
      if (this.#channel.signal.aborted) this.#isOver = true
    }
  }

  /** Tells the peer why, when it is this side that ends it. */
  async #sayStop(error: unknown): Promise<void> {
    if (this.#channel.signal.aborted || this.#machine.state === 'done') return
    if (isNzError(error) && error.code.startsWith('NZ_NETWORK_')) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = this.#init.clock.setTimer(STOP_TIMEOUT_MS, resolve)
    try {
      const said = async (): Promise<void> => {
        await this.#channel.send({ type: 'stop', code: this.#init.stopOf(error) })
        await this.#channel.close()
      }
      await Promise.race([said().catch(() => undefined), promise])
    } finally {
      timer.cancel()
    }
  }
}
