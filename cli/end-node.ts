/** Ends the node of a profile also when it no longer answers: asked first, then told, then killed. */
import { join } from 'node:path'
import { sleep, systemClock } from '../kernel/index.ts'
import { cliErrors } from './errors.ts'
import { LOCK_FILE, runningHolder } from './node.ts'
import type { CliContext } from './command.ts'

/** How long the local API has to take the wish to stop. */
const ASK_TIMEOUT_MS = 2_000
/** How long each of the steps has until the next. */
const STEP_TIMEOUT_MS = 5_000
const POLL_MS = 20

/**
 * The pid of what has ended; `null` when nothing ran. Only the very process that holds the profile's lock is ended.
 *
 * @throws NZ_CLI_STOP_SLOW when even a kill does not end it in time
 */
export async function endNode({ client, home, signal }: CliContext): Promise<number | null> {
  const lock = join(home.stateDir, LOCK_FILE)
  const holder = await runningHolder(lock)
  if (holder === null) return null
  const { pid } = holder
  const hasEnded = async (): Promise<boolean> => (await runningHolder(lock))?.pid !== pid
  const steps = [
    async (): Promise<void> => {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(ASK_TIMEOUT_MS)])
      await (await client()).nodeStop({ reason: 'nzcore down --force' }, { signal: limit })
    },
    async (): Promise<void> => void process.kill(pid, 'SIGTERM'),
    async (): Promise<void> => void process.kill(pid, 'SIGKILL'),
  ]
  for (const step of steps) {
    const beganAtMs = systemClock.monotonicMs()
    try {
      await step()
    } catch {
      // It does not answer, or has just ended: the next look tells which.
      signal.throwIfAborted()
      if (step === steps[0]) continue
    }
    while (systemClock.monotonicMs() - beganAtMs < STEP_TIMEOUT_MS) {
      if (await hasEnded()) return pid
      await sleep(systemClock, POLL_MS, { signal })
    }
  }
  throw cliErrors.NZ_CLI_STOP_SLOW({ data: { pid } })
}
