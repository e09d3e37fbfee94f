/** A store in memory, for simulations and tests: the same bytes as on disk, gone with the process. */
import type { Engine, EngineEntry, EngineOperation, EngineRange, EngineSnapshot } from './engine.ts'

interface MemorySnapshot extends EngineSnapshot {
  readonly records: ReadonlyMap<string, Uint8Array>
}

export class MemoryEngine implements Engine {
  /** What is "on disk": hex of the key → value. Public, so that tests can damage it. */
  readonly records: Map<string, Uint8Array>
  readonly #snapshots = new WeakMap<EngineSnapshot, ReadonlyMap<string, Uint8Array>>()

  /** Two engines with the same `records` are one disk opened twice, one after the other. */
  constructor(records = new Map<string, Uint8Array>()) {
    this.records = records
  }

  async open(): Promise<void> {
    await Promise.resolve()
  }

  async close(): Promise<void> {
    await Promise.resolve()
  }

  async get(key: Uint8Array, snapshot?: EngineSnapshot): Promise<Uint8Array | null> {
    const records = (snapshot === undefined ? undefined : this.#snapshots.get(snapshot)) ?? this.records
    return await Promise.resolve(records.get(hex(key)) ?? null)
  }

  async getMany(keys: readonly Uint8Array[], snapshot?: EngineSnapshot): Promise<readonly (Uint8Array | null)[]> {
    return await Promise.all(keys.map(async (key) => await this.get(key, snapshot)))
  }

  async batch(operations: readonly EngineOperation[]): Promise<void> {
    await Promise.resolve()
    for (const operation of operations) {
      if (operation.type === 'put') this.records.set(hex(operation.key), Uint8Array.from(operation.value))
      else this.records.delete(hex(operation.key))
    }
  }

  async *pages(range?: EngineRange): AsyncGenerator<readonly EngineEntry[]> {
    const [from, before] = range === undefined ? ['', 'g'] : [hex(range.from), hex(range.before)]
    const sorted = [...this.records].toSorted(([a], [b]) => (a < b ? -1 : 1))
    for (const [key, value] of sorted)
      if (key >= from && key < before) yield [[Uint8Array.from(Buffer.from(key, 'hex')), value]]
  }

  snapshot(): EngineSnapshot {
    const snapshot: MemorySnapshot = { records: new Map(this.records), close: async () => await Promise.resolve() }
    this.#snapshots.set(snapshot, snapshot.records)
    return snapshot
  }

  async probe(): Promise<void> {
    await Promise.resolve()
  }

  async salvage(): Promise<void> {
    await Promise.resolve()
  }

  async discardSalvage(): Promise<number> {
    return await Promise.resolve(0)
  }

  async compact(): Promise<{ readonly bytesBefore: number; readonly bytesAfter: number }> {
    const bytes = [...this.records].reduce((total, [key, value]) => total + key.length / 2 + value.byteLength, 0)
    return await Promise.resolve({ bytesBefore: bytes, bytesAfter: bytes })
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
