/** Closes a connection that is not needed, as a relayed one beside a direct one, once nothing that would notice moves over it. */
import { orAbort, sleep } from '../../../kernel/index.ts'
import type { Clock } from '../../../kernel/index.ts'
import type { OpenPath } from '../paths.ts'

/** For requests under way; new ones go over the direct connection. */
const GRACE_MS = 5_000

export interface RetireOptions {
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Whether it is not needed still: what was to replace it may be gone meanwhile. */
  readonly isSpare: () => boolean
  /** Streams of this protocol are opened anew elsewhere by those who use them. */
  readonly movable: string
}

export async function retire(path: OpenPath, { clock, signal, movable, isSpare }: RetireOptions): Promise<void> {
  try {
    await sleep(clock, GRACE_MS, { signal })
    for (;;) {
      if (!isSpare()) return
      const held = [...path.streams].find(({ protocol }) => protocol !== movable)
      if (held === undefined) break
      await orAbort(new Promise((resolve) => held.signal.addEventListener('abort', resolve, { once: true })), signal)
    }
    await path.connection.close({ signal })
  } catch (error) {
    if (!signal.aborted) path.connection.abort(error instanceof Error ? error : new Error(String(error)))
  }
}
