/**
 * Ownership of resources. A `LifetimeScope` owns what is deferred to it and
 * releases it in reverse order, once, even when one release fails.
 *
 * Node 22 has `Symbol.asyncDispose` but neither `await using` nor
 * `AsyncDisposableStack`; replace this file by the latter when Node 22 is dropped.
 */
export type Release = () => void | Promise<void>

export class LifetimeScope implements AsyncDisposable {
  readonly #releases: Release[] = []
  readonly #controller = new AbortController()

  /** Aborts when the scope starts to close: give it to every wait inside the scope. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Takes ownership. The release runs at the latest when the scope closes. */
  defer(release: Release): void {
    this.signal.throwIfAborted()
    this.#releases.push(release)
  }

  /** Idempotent. Throws an `AggregateError` after every release has run. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#controller.abort()
    const failures: unknown[] = []
    for (let release = this.#releases.pop(); release !== undefined; release = this.#releases.pop()) {
      try {
        await release()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, 'releasing resources failed')
  }
}
