/** The peers of the table that have answered, kept in the store: a restarted node comes back without any introducer. */
import { z } from 'zod'
import { isNzError } from '../../kernel/index.ts'
import type { Logger } from '../../kernel/index.ts'
import type { RoutingTable } from '../../protocols/discovery/routing-table.ts'
import type { Collection } from '../storage/service.ts'
import type { StorageService } from '../storage/service.ts'
import type { Askable } from './query.ts'

export const MAX_KEPT = 64
const KEY = 'peers'
const Kept = z
  .array(z.strictObject({ peerId: z.string().max(128), addresses: z.array(z.string().max(256)).max(8) }))
  .max(MAX_KEPT)

export class TableMemory {
  readonly #collection: Collection<z.infer<typeof Kept>>
  readonly #log: Logger
  #last = ''

  constructor({ storage, log }: { readonly storage: StorageService; readonly log: Logger }) {
    this.#collection = storage.collection('discovery/table', Kept)
    this.#log = log
  }

  async read(): Promise<readonly Askable[]> {
    try {
      return (await this.#collection.get(KEY)) ?? []
    } catch (error) {
      if (!isNzError(error)) throw error
      this.#log.warn('discovery.tableNotRead', { error })
      return []
    }
  }

  /** Writes when somebody came or went. */
  async keep(table: RoutingTable): Promise<void> {
    const proven = table
      .entries()
      .filter(({ state, answeredAtMs, failures }) => state === 'proven' && answeredAtMs !== null && failures === 0)
      .toSorted((a, b) => (b.answeredAtMs ?? 0) - (a.answeredAtMs ?? 0))
      .slice(0, MAX_KEPT)
    const names = proven
      .map(({ peerId }) => peerId)
      .toSorted()
      .join()
    if (names === this.#last || proven.length === 0) return
    const kept = proven.map(({ peerId, record: { content } }) => ({
      peerId,
      addresses: content.kind === 'peer' ? [...content.addresses] : [],
    }))
    try {
      await this.#collection.put(KEY, kept)
      this.#last = names
    } catch (error) {
      if (!isNzError(error)) throw error
      this.#log.debug('discovery.tableNotKept', { error })
    }
  }
}
