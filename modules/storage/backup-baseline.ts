/** What earlier exports of the store saw: for each record its key and digest, in order, in records of their own. */
import { storageErrors } from './service.ts'
import type { EncryptedStore } from './encrypted-store.ts'

/** Namespaces that speak of backups: no part of one. */
export function isBookkeeping(namespace: string): boolean {
  return /^backup(?:[/@]|$)/.test(namespace)
}

const NAMESPACE = 'backup/baseline'
const DIGEST_BYTES = 32
/** namespace length u8 · key length u16 */
const FIXED_BYTES = 3
const PIECE_FULL_BYTES = 262_144
/** Baselines that are kept besides the one that an export goes on from. */
const MAX_BASELINES = 4
const DELETED_AT_ONCE = 512

export interface BaselineEntry {
  readonly namespace: string
  readonly key: string
  /** SHA-256 of the record's bytes. */
  readonly digest: Uint8Array
}

export class Baselines {
  readonly #store: EncryptedStore

  constructor(store: EncryptedStore) {
    this.#store = store
  }

  /** Whether the export that was given this mark was read to its end, and is still remembered. */
  async has(mark: string): Promise<boolean> {
    return /^[0-9a-f]{32}$/.test(mark) && (await this.#store.read(NAMESPACE, endKey(mark))) !== null
  }

  /** What the export with this mark saw, in order; nothing for `null`. @throws NZ_STORAGE_VALUE_INVALID */
  async *read(mark: string | null): AsyncGenerator<BaselineEntry> {
    if (mark === null) return
    const end = await this.#store.read(NAMESPACE, endKey(mark))
    const pieces = end === null ? 0 : Buffer.from(end).readUInt32BE(8)
    for (let number = 0; number < pieces; number++) {
      const piece = await this.#store.read(NAMESPACE, pieceKey(mark, number))
      if (piece === null) throw storageErrors.NZ_STORAGE_VALUE_INVALID({ data: { namespace: NAMESPACE } })
      yield* entriesOf(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength))
    }
  }

  /** Takes entries in order; the mark is known from `finish` on. */
  writer(mark: string): { add(entry: BaselineEntry): Promise<void>; finish(): Promise<void> } {
    let held: Uint8Array[] = []
    let bytes = 0
    let pieces = 0
    const flush = async (): Promise<void> => {
      if (bytes === 0) return
      await this.#put(pieceKey(mark, pieces++), Buffer.concat(held))
      held = []
      bytes = 0
    }
    return {
      add: async (entry) => {
        const encoded = encode(entry)
        held.push(encoded)
        bytes += encoded.byteLength
        if (bytes >= PIECE_FULL_BYTES) await flush()
      },
      finish: async () => {
        await flush()
        const end = Buffer.alloc(12)
        end.writeBigUInt64BE(BigInt(this.#store.head.sequence), 0)
        end.writeUInt32BE(pieces, 8)
        await this.#put(endKey(mark), end)
      },
    }
  }

  /** Forgets all but the newest ones and `kept`; what an export that was broken off has left goes as well. */
  async prune(kept: string | null): Promise<void> {
    const known = new Map<string, number>()
    const keys = [...this.#store.indexOf(NAMESPACE).values()].map(({ key }) => key)
    for (const key of keys) {
      const [mark = '', part] = key.split('/')
      const end = part === 'end' ? await this.#store.read(NAMESPACE, key) : null
      if (end !== null) known.set(mark, Number(Buffer.from(end).readBigUInt64BE(0)))
    }
    const newest = [...known].toSorted(([, a], [, b]) => b - a).slice(0, MAX_BASELINES - 1)
    const staying = new Set(newest.map(([mark]) => mark))
    if (kept !== null) staying.add(kept)
    const leaving = keys.filter((key) => !staying.has(key.split('/')[0] ?? ''))
    // The end first: half a baseline must not look like one.
    const operations = leaving
      .toSorted((a, b) => Number(b.endsWith('/end')) - Number(a.endsWith('/end')))
      .map((key) => ({ type: 'delete' as const, key }))
    for (let at = 0; at < operations.length; at += DELETED_AT_ONCE) {
      await this.#store.write(NAMESPACE, operations.slice(at, at + DELETED_AT_ONCE), { bytes: 0 })
    }
  }

  async #put(key: string, value: Uint8Array): Promise<void> {
    await this.#store.write(NAMESPACE, [{ type: 'put', key, value, expiresAtMs: 0 }], { bytes: value.byteLength })
  }
}

function endKey(mark: string): string {
  return `${mark}/end`
}

function pieceKey(mark: string, number: number): string {
  return `${mark}/${String(number).padStart(8, '0')}`
}

function encode({ namespace, key, digest }: BaselineEntry): Uint8Array {
  const names = Buffer.from(namespace + key, 'utf8')
  const fixed = Buffer.alloc(FIXED_BYTES)
  fixed.writeUInt8(namespace.length, 0)
  fixed.writeUInt16BE(names.byteLength - namespace.length, 1)
  return Buffer.concat([fixed, names, digest])
}

function* entriesOf(piece: Buffer): Generator<BaselineEntry> {
  let at = 0
  while (at < piece.byteLength) {
    const nameEnd = at + FIXED_BYTES + piece.readUInt8(at)
    const keyEnd = nameEnd + piece.readUInt16BE(at + 1)
    yield {
      namespace: piece.toString('utf8', at + FIXED_BYTES, nameEnd),
      key: piece.toString('utf8', nameEnd, keyEnd),
      digest: piece.subarray(keyEnd, keyEnd + DIGEST_BYTES),
    }
    at = keyEnd + DIGEST_BYTES
  }
}
