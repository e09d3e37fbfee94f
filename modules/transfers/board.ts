/** Every transfer that is active, and the recent past. */
import { transfersEvents } from './service.ts'
import type { EventBus, Logger } from '../../kernel/index.ts'
import type { TransferSnapshot } from './service.ts'
import type { TransferProgress } from './progress.ts'
import type { HistoryRecord, TransferState } from './state.ts'

export class Board {
  readonly #state: TransferState
  readonly #events: EventBus
  readonly #log: Logger
  readonly #active = new Set<TransferProgress>()

  constructor(state: TransferState, { events, log }: { events: EventBus; log: Logger }) {
    this.#state = state
    this.#events = events
    this.#log = log
  }

  /** Newest first. */
  active(): readonly TransferProgress[] {
    return [...this.#active].toReversed()
  }

  /** Newest first. */
  recent(): readonly TransferSnapshot[] {
    return this.#state.history.map(snapshotOf).toReversed()
  }

  add(progress: TransferProgress): void {
    this.#active.add(progress)
  }

  /** Takes it off without a place in the history: it is to come back. */
  drop(progress: TransferProgress): void {
    this.#active.delete(progress)
  }

  /**
   * Moves an ended transfer into the history; whether that is durable. When the store does not take it the transfer has
   * ended all the same: it is written later.
   */
  async finish(
    progress: TransferProgress,
    inboxId: string | null,
    options: { readonly partial?: string } = {},
  ): Promise<boolean> {
    this.#active.delete(progress)
    const snapshot = progress.snapshot()
    const { id, direction, peerId, name, code } = snapshot
    if (code !== null) this.#events.emit(transfersEvents.failed, { id, direction, peerId, name, code })
    this.#log.info('transfers.ended', { id, direction, peerId, state: snapshot.state, bytes: snapshot.bytes, code })
    try {
      await this.#state.remember({ ...snapshot, inboxId }, options)
      return true
    } catch (error) {
      this.#log.warn('transfers.notRecorded', { id, error })
      return false
    }
  }
}

function snapshotOf(record: HistoryRecord): TransferSnapshot {
  const { inboxId, ...snapshot } = record
  void inboxId
  return snapshot
}
