/** Which headers were sealed under, over all the disks a test has seen: one header must stand for one message. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isHeadPlace } from '../../modules/storage/record.ts'
import { decodeHeader } from '../../protocols/sealed/sealed.ts'
import { homeOf } from '../../protocols/ipc/home.ts'
import type { Engine } from '../../modules/storage/engine.ts'

export class SealedHeaders {
  /** Purpose, generation, salt and counter name key and nonce; what was sealed under them. */
  readonly #sealed = new Map<string, string>()
  readonly #salts = new Set<string>()
  readonly usedTwice: string[] = []

  get size(): number {
    return this.#sealed.size
  }

  /** Runs of a store: each draws its own. */
  get salts(): number {
    return this.#salts.size
  }

  /** Everything that lies in a store, and its witness. */
  async note(engine: Engine, home: string): Promise<void> {
    for await (const page of engine.pages()) {
      for (const [place, sealed] of page) this.#note(isHeadPlace(place) ? 'head' : 'record', place, sealed)
    }
    const witness = join(homeOf({ env: { NZ_HOME: home } }).stateDir, 'store-witness')
    this.#note('witness', new Uint8Array(), await readFile(witness))
  }

  #note(purpose: string, place: Uint8Array, sealed: Uint8Array): void {
    const header = decodeHeader(sealed)
    if (header === null) throw new Error(`${purpose} has no header`)
    const salt = Buffer.from(header.salt).toString('hex')
    const name = `${purpose} ${header.generation} ${salt} ${header.counter}`
    const message = createHash('sha256').update(place).update(sealed).digest('base64')
    const known = this.#sealed.get(name)
    if (known !== undefined && known !== message) this.usedTwice.push(name)
    this.#sealed.set(name, message)
    this.#salts.add(salt)
  }
}
