/** One relayed connection at the relay: bytes from one stream to the other and back, up to its bounds. */
import { deadline } from '../../../kernel/index.ts'
import type { Clock } from '../../../kernel/index.ts'
import type { CircuitLimit } from '../../../protocols/circuit/messages.ts'
import type { MessageStream } from './message-stream.ts'

export type CircuitEnd = 'ended' | 'bytes' | 'seconds' | 'cut'

export class Circuit {
  readonly from: string
  readonly to: string
  readonly openedAtMs: number
  readonly #limit: CircuitLimit
  #bytes = 0n

  constructor(
    { from, to, openedAtMs }: { readonly from: string; readonly to: string; readonly openedAtMs: number },
    limit: CircuitLimit,
  ) {
    this.from = from
    this.to = to
    this.openedAtMs = openedAtMs
    this.#limit = limit
  }

  /** Both ways together. */
  get bytes(): number {
    return Number(this.#bytes)
  }

  /** Carries until both sides have ended, one has failed, or a bound is reached; both streams are over then. */
  async carry(
    near: MessageStream,
    far: MessageStream,
    { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
  ): Promise<CircuitEnd> {
    using limit = deadline(clock, (this.#limit.seconds ?? MAX_SECONDS) * 1_000, { signal })
    const reset = (): void => {
      near.stream.reset()
      far.stream.reset()
    }
    limit.signal.addEventListener('abort', reset, { once: true })
    try {
      await Promise.all([this.#pump(near, far, limit.signal), this.#pump(far, near, limit.signal)])
      await Promise.all([near.stream.close(), far.stream.close()])
      return 'ended'
    } catch {
      reset()
      if (limit.isOver) return 'seconds'
      return this.#isSpent ? 'bytes' : 'cut'
    } finally {
      limit.signal.removeEventListener('abort', reset)
    }
  }

  get #isSpent(): boolean {
    return this.#limit.bytes !== null && this.#bytes > this.#limit.bytes
  }

  async #pump(from: MessageStream, to: MessageStream, signal: AbortSignal): Promise<void> {
    const early = from.rest()
    if (early.length > 0) await this.#pass(early, to, signal)
    for (;;) {
      const bytes = await from.stream.read({ signal })
      if (bytes === null) return await to.stream.closeWrite({ signal })
      await this.#pass(bytes, to, signal)
    }
  }

  async #pass(bytes: Uint8Array, to: MessageStream, signal: AbortSignal): Promise<void> {
    this.#bytes += BigInt(bytes.length)
    if (this.#isSpent) throw new Error('the bytes of the circuit are spent')
    await to.stream.write(bytes, { signal })
  }
}

/** Longest wait of a timer; a circuit without a bound is looked at again by nobody before. */
const MAX_SECONDS = 2_000_000
