/** A transfer that others follow: its state, told to watchers a few times a second. */
import { isNzError, sleep } from '../../kernel/index.ts'
import { transfersErrors } from './service.ts'
import type { Clock } from '../../kernel/index.ts'
import type { Transfer, TransferSnapshot, TransferState } from './service.ts'

/** Shortest time between two snapshots of one watcher. */
const TELL_INTERVAL_MS = 200

const finalStates: ReadonlySet<TransferState> = new Set(['done', 'failed', 'cancelled'])

export class TransferProgress implements Transfer {
  readonly id: string
  readonly #clock: Clock
  readonly #ended = Promise.withResolvers<TransferSnapshot>()
  #snapshot: TransferSnapshot
  #changed = Promise.withResolvers<void>()

  constructor(clock: Clock, snapshot: TransferSnapshot) {
    this.id = snapshot.id
    this.#clock = clock
    this.#snapshot = snapshot
    // Nobody need wait for the result: a failure is in the snapshot too.
    this.#ended.promise.catch(() => undefined)
  }

  get isFinal(): boolean {
    return finalStates.has(this.#snapshot.state)
  }

  snapshot(): TransferSnapshot {
    return this.#snapshot
  }

  /** Ignored once the transfer is final. */
  update(change: Partial<Omit<TransferSnapshot, 'id'>>): void {
    if (this.isFinal) return
    this.#snapshot = { ...this.#snapshot, ...change }
    const changed = this.#changed
    this.#changed = Promise.withResolvers<void>()
    changed.resolve()
  }

  done(facts: Partial<Omit<TransferSnapshot, 'id'>>): TransferSnapshot {
    this.update({ ...facts, state: 'done', code: null, endedAtMs: this.#clock.nowMs() })
    this.#ended.resolve(this.#snapshot)
    return this.#snapshot
  }

  fail(error: unknown): TransferSnapshot {
    const code = isNzError(error) ? error.code : 'NZ_TRANSFERS_FAILED'
    const state = code === 'NZ_TRANSFERS_CANCELLED' ? 'cancelled' : 'failed'
    this.update({ state, code, endedAtMs: this.#clock.nowMs() })
    this.#ended.reject(isNzError(error) ? error : transfersErrors.NZ_TRANSFERS_FAILED({ cause: error }))
    return this.#snapshot
  }

  async result(): Promise<TransferSnapshot> {
    return await this.#ended.promise
  }

  /** Resolves at the next change, or when `signal` aborts. */
  async change(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const onAbort = (): void => resolve()
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await Promise.race([this.#changed.promise, promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  async *changes({ signal }: { signal: AbortSignal }): AsyncGenerator<TransferSnapshot> {
    for (;;) {
      const told = this.#snapshot
      yield told
      if (finalStates.has(told.state) || signal.aborted) return
      if (told === this.#snapshot) await this.change(signal)
      if (signal.aborted) return
      if (!this.isFinal) await pause(this.#clock, TELL_INTERVAL_MS, signal)
    }
  }
}

async function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(clock, delayMs, { signal })
  } catch (error) {
    if (!signal.aborted) throw error
  }
}
