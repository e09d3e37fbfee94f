/** Counts the streams and duplexes that each caller holds open, and ends them when its rights end. */
import { NzError } from '../../kernel/index.ts'
import type { Clock } from '../../kernel/index.ts'
import { ipcErrors } from '../../protocols/ipc/errors.ts'
import { MAX_STREAMS_PER_CALLER } from '../../protocols/ipc/limits.ts'
import type { Caller } from '../../protocols/ipc/endpoint.ts'

/** One open stream: dispose it when it is over. */
export interface StreamSlot extends Disposable {
  /** Aborts, with an `NzError`, when the caller may no longer go on. */
  readonly signal: AbortSignal
}

/** Timers of Node.js take no longer delays; a token that lives longer is looked at again by then. */
const LONGEST_TIMER_MS = 2_147_483_647

export class OpenStreams {
  readonly #clock: Clock
  readonly #open = new Map<string, Set<AbortController>>()

  constructor({ clock }: { readonly clock: Clock }) {
    this.#clock = clock
  }

  /** @throws NZ_IPC_TOO_MANY_STREAMS */
  open({ id, expiresAtMs }: Caller): StreamSlot {
    const mine = this.#open.get(id) ?? new Set()
    if (mine.size >= MAX_STREAMS_PER_CALLER) {
      throw ipcErrors.NZ_IPC_TOO_MANY_STREAMS({ data: { limit: MAX_STREAMS_PER_CALLER } })
    }
    const controller = new AbortController()
    this.#open.set(id, mine.add(controller))
    const expiry =
      expiresAtMs === undefined
        ? null
        : this.#clock.setTimer(
            Math.min(Math.max(0, expiresAtMs - this.#clock.nowMs()), LONGEST_TIMER_MS),
            () => controller.abort(ipcErrors.NZ_IPC_TOKEN_REFUSED()),
            { unref: true },
          )
    return {
      signal: controller.signal,
      [Symbol.dispose]: () => {
        expiry?.cancel()
        mine.delete(controller)
        if (mine.size === 0 && this.#open.get(id) === mine) this.#open.delete(id)
      },
    }
  }

  /** Ends what a caller has open: its token was revoked. */
  cut(callerId: string): void {
    for (const controller of this.#open.get(callerId) ?? []) controller.abort(ipcErrors.NZ_IPC_TOKEN_REFUSED())
  }
}

/** Why a signal ended a stream, when it has a code: what its reader is told. */
export function codedReason({ aborted, reason }: AbortSignal): NzError | null {
  return aborted && reason instanceof NzError ? reason : null
}
