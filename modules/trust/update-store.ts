/** The updates of a replica in the encrypted store: written before they are told to anyone, read back without a signature check. */
import type { Namespace, Operation } from '../storage/service.ts'
import type { Change } from '../../protocols/trust/issuer-log.ts'
import type { Standpoint } from '../../protocols/trust/standpoint.ts'
import type { TrustUpdate } from '../../protocols/trust/update.ts'

/** Operations of one batch of the store. */
const MAX_BATCH = 1_024
const PAGE = 1_000

export class UpdateStore {
  readonly #namespace: Namespace
  #written: Promise<void> = Promise.resolve()
  /** Changes that the store refused: they are in memory and go before the next ones. */
  #unwritten: Operation[] = []

  constructor(namespace: Namespace) {
    this.#namespace = namespace
  }

  /** Fills `standpoint`. Nobody but this node writes the store, and it wrote only what it had verified. */
  async load(standpoint: Pick<Standpoint, 'restore'>, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    let after: string | undefined
    for (;;) {
      let read = 0
      for await (const { key, value } of this.#namespace.range({
        limit: PAGE,
        ...(after === undefined ? {} : { after }),
      })) {
        standpoint.restore(value)
        after = key
        read += 1
      }
      signal.throwIfAborted()
      if (read < PAGE) return
    }
  }

  /**
   * Durable when it resolves; changes are written in the order of the calls. What the store refuses is kept and written
   * with the next changes.
   */
  async write(changes: readonly Pick<Change, 'added' | 'removed'>[]): Promise<void> {
    const operations = changes.flatMap(({ added, removed }): Operation[] => [
      ...removed.map((update) => ({ type: 'delete' as const, key: keyOfUpdate(update) })),
      ...added.map((update) => ({ type: 'put' as const, key: keyOfUpdate(update), value: update.bytes })),
    ])
    const written = this.#written.then(async () => await this.#write(operations))
    // The next changes are written whatever became of these.
    this.#written = written.catch(() => undefined)
    await written
  }

  /** Writes one update, or nothing: what fails is not tried again. */
  async writeOwn(update: TrustUpdate): Promise<void> {
    const written = this.#written.then(async () => {
      await this.#write([])
      await this.#namespace.put(keyOfUpdate(update), update.bytes)
    })
    this.#written = written.catch(() => undefined)
    await written
  }

  async #write(operations: readonly Operation[]): Promise<void> {
    const all = [...this.#unwritten, ...operations]
    for (let at = 0; at < all.length; at += MAX_BATCH) {
      this.#unwritten = all.slice(at)
      await this.#namespace.batch(all.slice(at, at + MAX_BATCH))
    }
    this.#unwritten = []
  }
}

/** In order of issuer and sequence, so that a chain is read in its order. */
function keyOfUpdate({ issuer, sequence, id }: TrustUpdate): string {
  return `${issuer}/${String(sequence).padStart(13, '0')}/${id.slice(0, 16)}`
}
