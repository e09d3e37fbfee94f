/** How far each log had come, noted in the store: who puts back an older log must put back an older store as well. */
import { decodeWitness, encodeStatement } from '../../protocols/eventlog/frame.ts'
import type { LogHead, LogWitness } from '../../protocols/eventlog/frame.ts'
import type { Namespace } from '../storage/service.ts'

/**
 * Records with an end are no part of what backups compare: a note follows its log, it is nothing to be kept by itself.
 * Ten years without a single entry, and the note ends before the log.
 */
const NOTE_TTL_MS = 315_576_000_000

export class WitnessNotes {
  readonly #notes: Pick<Namespace, 'get' | 'put' | 'range'>

  constructor(notes: Pick<Namespace, 'get' | 'put' | 'range'>) {
    this.#notes = notes
  }

  /** By name of the log. @throws NZ_STORAGE_DAMAGED, NZ_STORAGE_UNAVAILABLE */
  async all(): Promise<ReadonlyMap<string, LogWitness>> {
    const found = new Map<string, LogWitness>()
    for await (const { key, value } of this.#notes.range()) {
      const witness = decodeWitness(value)
      if (witness !== null) found.set(key, witness)
    }
    return found
  }

  /** @throws as `all` */
  async of(name: string): Promise<LogWitness | null> {
    const value = await this.#notes.get(name)
    return value === null ? null : decodeWitness(value)
  }

  /** Durable when it resolves. @throws as Namespace.put */
  async keep({ name, uid, sequence, hash, segment }: LogHead): Promise<void> {
    await this.#notes.put(name, encodeStatement({ uid, sequence, hash, segment }), { ttlMs: NOTE_TTL_MS })
  }
}
