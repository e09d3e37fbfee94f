/** A small sealed file beside the store that says how far it had come. spec/NZ-STORAGE-01.md §4. */
import { decodeWitness, encodeWitness } from './head.ts'
import { WITNESS_PLACE } from './record.ts'
import { seal, unseal } from './sealed.ts'
import type { HomeService } from '../home/service.ts'
import type { Head, Witness } from './head.ts'
import type { StoreKeys } from './keys.ts'
import type { SealCounter } from './sealed.ts'

const FILE_NAME = 'store-witness'

export class WitnessFile {
  readonly #home: Pick<HomeService, 'read' | 'write'>
  readonly #keys: StoreKeys

  constructor(home: Pick<HomeService, 'read' | 'write'>, keys: StoreKeys) {
    this.#home = home
    this.#keys = keys
  }

  /** @throws NZ_HOME_UNREADABLE, NZ_HOME_MODE, NZ_HOME_TOO_LARGE */
  async read(): Promise<Witness | 'none' | 'unreadable'> {
    const bytes = await this.#home.read(FILE_NAME)
    if (bytes === null) return 'none'
    const opened = unseal(this.#keys, 'witness', bytes, WITNESS_PLACE)
    return opened === null ? 'unreadable' : (decodeWitness(opened.plaintext) ?? 'unreadable')
  }

  /** Durable when it resolves. @throws NZ_HOME_UNWRITABLE */
  async write({ sequence, generation }: Head, counter: SealCounter): Promise<void> {
    const plaintext = encodeWitness({ sequence, generation })
    const header = counter.take(generation)
    await this.#home.write(FILE_NAME, seal(this.#keys, 'witness', header, { place: WITNESS_PLACE, plaintext }))
  }
}
