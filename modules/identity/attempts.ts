/**
 * Slows down guessing at this machine: wrong passphrases are counted on disk, across processes and restarts, and the
 * waits between them grow. Who can change the files can also guess elsewhere; against them stands scrypt alone.
 */
import { z } from 'zod'
import type { Clock } from '../../kernel/index.ts'
import { createPrivateFile, readPrivateFile, removePrivateFile, replacePrivateFile } from './private-file.ts'
import { identityErrors } from './service.ts'

/** Wrong passphrases that cost no wait: people mistype. */
export const FREE_ATTEMPTS = 3
const FIRST_WAIT_MS = 1_000
export const LONGEST_WAIT_MS = 300_000
const LONGEST_WAIT_DOUBLINGS = 9

/** An attempt that takes longer died with its process. */
const ATTEMPT_LIMIT_MS = 30_000

const Counts = z.strictObject({ failed: z.int().min(0), lastAtMs: z.int().min(0) })
const Running = z.strictObject({ startedAtMs: z.int().min(0) })

export interface AttemptsInit {
  readonly path: string
  /** Exists while a process tries a passphrase. */
  readonly runningPath: string
  readonly clock: Clock
}

/** Milliseconds between the `failed`-th wrong passphrase and the next try. */
export function waitAfter(failed: number): number {
  if (failed < FREE_ATTEMPTS) return 0
  return Math.min(FIRST_WAIT_MS * 2 ** Math.min(failed - FREE_ATTEMPTS, LONGEST_WAIT_DOUBLINGS), LONGEST_WAIT_MS)
}

export class PassphraseAttempts {
  readonly #init: AttemptsInit

  constructor(init: AttemptsInit) {
    this.#init = init
  }

  /**
   * Runs `tryPassphrase`, which says whether the passphrase was right. The attempt is on disk as a failure before it
   * runs, so a killed process gains nothing.
   *
   * @throws NZ_IDENTITY_TRY_LATER with `data.waitMs`
   */
  async run(tryPassphrase: () => Promise<boolean>): Promise<void> {
    const { path, runningPath } = this.#init
    await this.#enter()
    try {
      const failed = await this.#failedNow()
      await this.#write(path, { failed: failed + 1, lastAtMs: this.#nowMs() })
      const isRight = await tryPassphrase()
      if (isRight) await removePrivateFile(path)
      else await this.#write(path, { failed: failed + 1, lastAtMs: this.#nowMs() })
    } finally {
      await removePrivateFile(runningPath)
    }
  }

  async #failedNow(): Promise<number> {
    const { path } = this.#init
    const counts = await this.#read(path, Counts)
    if (counts === null) return 0
    const { failed, lastAtMs } = counts
    const nowMs = this.#nowMs()
    const waitMs = waitAfter(failed) - Math.max(0, nowMs - lastAtMs)
    if (waitMs <= 0) return failed
    // A clock that was set back must not lock the owner out for years: the wait starts again from now.
    if (lastAtMs > nowMs) await this.#write(path, { failed, lastAtMs: nowMs })
    const why = `${failed} were wrong; the next try is in ${Math.ceil(waitMs / 1_000)} s`
    throw identityErrors.NZ_IDENTITY_TRY_LATER({ why, data: { failed, waitMs } })
  }

  /** One attempt at a time in all processes, so that parallel ones cannot share one count. */
  async #enter(): Promise<void> {
    const { runningPath } = this.#init
    const mine = encodeJson({ startedAtMs: this.#nowMs() })
    if (await createPrivateFile(runningPath, mine)) return
    const other = await this.#read(runningPath, Running)
    const ageMs = other === null ? ATTEMPT_LIMIT_MS : Math.abs(this.#nowMs() - other.startedAtMs)
    if (ageMs >= ATTEMPT_LIMIT_MS) await removePrivateFile(runningPath)
    if (ageMs >= ATTEMPT_LIMIT_MS && (await createPrivateFile(runningPath, mine))) return
    throw identityErrors.NZ_IDENTITY_TRY_LATER({
      why: 'another process is trying a passphrase',
      data: { waitMs: Math.max(FIRST_WAIT_MS, ATTEMPT_LIMIT_MS - ageMs) },
    })
  }

  async #read<T>(path: string, schema: z.ZodType<T>): Promise<T | null> {
    const bytes = await readPrivateFile(path)
    if (bytes === null) return null
    try {
      return schema.parse(JSON.parse(new TextDecoder().decode(bytes)))
    } catch (error) {
      throw identityErrors.NZ_IDENTITY_DAMAGED({ cause: error, data: { path } })
    }
  }

  async #write(path: string, counts: z.infer<typeof Counts>): Promise<void> {
    await replacePrivateFile(path, encodeJson(counts))
  }

  #nowMs(): number {
    return Math.max(0, Math.floor(this.#init.clock.nowMs()))
  }
}

function encodeJson(value: object): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value)}\n`)
}
