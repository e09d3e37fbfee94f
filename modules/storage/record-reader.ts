/** Records as they lie on disk, proven against what memory knows of them. */
import { decodeRecord, recordPlace } from './record.ts'
import { unseal } from './sealed.ts'
import { storageErrors } from './service.ts'
import { troubleOf } from './trouble.ts'
import type { Engine, EngineSnapshot } from './engine.ts'
import type { IndexEntry } from './key-index.ts'
import type { StoreKeys } from './keys.ts'

export class RecordReader {
  readonly #engine: Engine
  readonly #keys: StoreKeys

  constructor({ engine, keys }: { readonly engine: Engine; readonly keys: StoreKeys }) {
    this.#engine = engine
    this.#keys = keys
  }

  /**
   * The values of `entries`, in their order; `null` where what lies on disk is not that very record.
   *
   * @throws NZ_STORAGE_UNAVAILABLE when the disk does not answer
   */
  async values(
    namespace: string,
    entries: readonly IndexEntry[],
    snapshot?: EngineSnapshot,
  ): Promise<readonly (Uint8Array | null)[]> {
    const places = entries.map(({ generation, key }) => recordPlace(this.#keys.recordId(generation, namespace, key)))
    let sealed
    try {
      sealed = await this.#engine.getMany(places, snapshot)
    } catch (error) {
      if (troubleOf(error).kind === 'damaged') return entries.map(() => null)
      throw storageErrors.NZ_STORAGE_UNAVAILABLE({ why: 'the record cannot be read now', cause: error })
    }
    return entries.map((entry, i) => this.#prove(entry, places[i], sealed[i] ?? null))
  }

  #prove(entry: IndexEntry, place: Uint8Array | undefined, sealed: Uint8Array | null): Uint8Array | null {
    const opened = sealed === null || place === undefined ? null : unseal(this.#keys, 'record', sealed, place)
    if (opened === null) return null
    const { salt, counter } = opened.header
    if (counter !== entry.counter || Buffer.compare(salt, entry.salt) !== 0) return null
    return decodeRecord(opened.plaintext)?.value ?? null
  }
}
