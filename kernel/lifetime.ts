/**
 * Ownership of resources. A `LifetimeScope` owns what is deferred to it and
 * releases it in reverse order, once, even when one release fails or hangs.
 *
 * Node 22 has `Symbol.asyncDispose` but neither `await using` nor
 * `AsyncDisposableStack`; replace this file by the latter when Node 22 is dropped.
 */
import { bounded } from './bounded.ts'
import { kernelErrors } from './catalogue.ts'
import { systemClock } from './clock.ts'
import type { Clock } from './clock.ts'

export type Release = () => void | Promise<void>

export interface LifetimeScopeInit {
  readonly clock?: Clock
  /** Longest wait for all releases together, in milliseconds; default 5 000. */
  readonly releaseTimeoutMs?: number
  /** Told of releases that fail when nobody waits for them any more: after the time is over or the scope is closed. */
  readonly onLateFailure?: (error: unknown) => void
}

export class LifetimeScope implements AsyncDisposable {
  readonly #releases: Release[] = []
  readonly #controller = new AbortController()
  readonly #clock: Clock
  readonly #releaseTimeoutMs: number
  readonly #init: LifetimeScopeInit
  #closing: Promise<void> | null = null

  constructor(init: LifetimeScopeInit = {}) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
    this.#releaseTimeoutMs = init.releaseTimeoutMs ?? 5_000
  }

  /** Aborts when the scope starts to close: give it to every wait inside the scope. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /**
   * Takes ownership. The release runs at the latest when the scope closes; at once when it has closed already, so
   * that what is opened too late cannot leak.
   */
  defer(release: Release): void {
    if (this.#closing === null) this.#releases.push(release)
    else void runRelease(release).catch((error: unknown) => this.#init.onLateFailure?.(error))
  }

  /** A scope that closes with this one, or earlier: for one connection, one request. */
  fork(): LifetimeScope {
    const child = new LifetimeScope(this.#init)
    const release = async (): Promise<void> => await child[Symbol.asyncDispose]()
    this.defer(release)
    child.#releases.push(() => {
      const index = this.#releases.indexOf(release)
      if (index !== -1) this.#releases.splice(index, 1)
    })
    return child
  }

  /**
   * Releases everything, last taken first. After `releaseTimeoutMs` it waits no longer: what is left is released all
   * the same, but unattended. Idempotent.
   *
   * @throws AggregateError after every release has run, when some failed or took too long
   */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close({ releaseTimeoutMs: this.#releaseTimeoutMs })
  }

  /** As `[Symbol.asyncDispose]`, with another limit. */
  async close({ releaseTimeoutMs }: { readonly releaseTimeoutMs: number }): Promise<void> {
    this.#closing ??= this.#release(releaseTimeoutMs)
    await this.#closing
  }

  async #release(releaseTimeoutMs: number): Promise<void> {
    const endMs = this.#clock.monotonicMs() + releaseTimeoutMs
    const failures: unknown[] = []
    this.#controller.abort()
    for (let release = this.#releases.pop(); release !== undefined; release = this.#releases.pop()) {
      const current = release
      try {
        await bounded(async () => await current(), {
          clock: this.#clock,
          timeoutMs: Math.max(0, endMs - this.#clock.monotonicMs()),
          timeoutError: () => kernelErrors.NZ_KERNEL_RELEASE_TIMEOUT(),
          onLateError: (error) => this.#init.onLateFailure?.(error),
        })
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, 'releasing resources failed')
  }
}

async function runRelease(release: Release): Promise<void> {
  await release()
}
