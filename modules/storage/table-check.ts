/**
 * Proves the checksums of LevelDB's table files before LevelDB reads them: it trusts its tables, and one with a changed
 * byte ends the process. Format: leveldb, doc/table_format.md.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isErrno } from '../../kernel/index.ts'
import { hasChecksum, Varints } from './level-bytes.ts'
import { unsnappy } from './snappy.ts'
import type { BlockHandle } from './level-bytes.ts'

const FOOTER_BYTES = 48
const MAGIC = 0xdb4775248b80fb57n
/** type u8 · masked CRC-32C */
const TRAILER_BYTES = 5
/** Type of a compressed block; 0: as it is. */
const SNAPPY = 1
const TABLE_NAME = /^\d+\.(?:ldb|sst)$/

/** What the manifest says of a table, which tells it from all others. */
export interface TableNote {
  readonly bytes: number
  readonly firstKey: Uint8Array
}

/**
 * Names of the tables in `dir` whose bytes are not those that were written. With the tables that are `inUse`, those
 * alone are looked at, and one that is missing or is another one is damaged as well. A folder that is not there has
 * none.
 */
export async function damagedTables(dir: string, inUse?: ReadonlyMap<number, TableNote>): Promise<readonly string[]> {
  const damaged: string[] = []
  const present = (await namesIn(dir)).filter((name) => TABLE_NAME.test(name))
  const names = present.filter((name) => inUse?.has(numberOf(name)) ?? true)
  const numbers = new Set(names.map(numberOf))
  for (const number of inUse?.keys() ?? []) if (!numbers.has(number)) damaged.push(`table ${number}, which is missing`)
  const read = async (name: string | undefined): Promise<Uint8Array | null> =>
    name === undefined ? null : await readFile(join(dir, name))
  let next = read(names[0])
  for (const [at, name] of names.entries()) {
    const table = await next
    // Read while this one is proven.
    next = read(names[at + 1])
    next.catch(() => undefined)
    if (table !== null && !isIntactTable(table, inUse?.get(numberOf(name)))) damaged.push(name)
  }
  return damaged
}

function numberOf(name: string): number {
  return Number.parseInt(name, 10)
}

/** Whether every block of a table has its checksum, and it is the one of the note. Never throws for bad bytes. */
export function isIntactTable(table: Uint8Array, note?: TableNote): boolean {
  if (table.byteLength < FOOTER_BYTES) return false
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength)
  if (view.getBigUint64(table.byteLength - 8, true) !== MAGIC) return false
  const footer = new Varints(table, table.byteLength - FOOTER_BYTES, table.byteLength - 8)
  const metaindex = footer.handle()
  const index = footer.handle()
  if (metaindex === null || index === null || !isIntactBlock(view, metaindex) || !isIntactBlock(view, index))
    return false
  const opened = openedBlock(table, index)
  const blocks = opened === null ? null : handlesIn(opened)
  if (blocks === null || !blocks.every((block) => isIntactBlock(view, block))) return false
  if (note === undefined) return true
  const firstKey = firstKeyOf(table, blocks)
  return table.byteLength === note.bytes && firstKey !== null && Buffer.compare(firstKey, note.firstKey) === 0
}

function openedBlock(table: Uint8Array, { offset, size }: BlockHandle): Uint8Array | null {
  const packed = table.subarray(offset, offset + size)
  return table[offset + size] === SNAPPY ? unsnappy(packed) : packed
}

/** `null` when there is none. */
function firstKeyOf(table: Uint8Array, [first]: readonly BlockHandle[]): Uint8Array | null {
  const block = first === undefined ? null : openedBlock(table, first)
  if (block === null) return null
  const reader = new Varints(block, 0, block.byteLength)
  const [shared, own, size] = [reader.next(), reader.next(), reader.next()]
  return shared === 0 && own !== null && size !== null ? block.subarray(reader.at, reader.at + own) : null
}

/** The blocks an index names; `null` when it is no index. */
function handlesIn(index: Uint8Array): readonly BlockHandle[] | null {
  if (index.byteLength < 4) return null
  const view = new DataView(index.buffer, index.byteOffset, index.byteLength)
  const end = index.byteLength - 4 - 4 * view.getUint32(index.byteLength - 4, true)
  const reader = new Varints(index, 0, end)
  const handles: BlockHandle[] = []
  while (reader.at < end) {
    const [shared, own, size] = [reader.next(), reader.next(), reader.next()]
    if (shared === null || own === null || size === null) return null
    reader.at += own
    const handle = reader.handle()
    if (handle === null) return null
    handles.push(handle)
  }
  return reader.at === end ? handles : null
}

function isIntactBlock(view: DataView, { offset, size }: BlockHandle): boolean {
  const end = offset + size
  if (end + TRAILER_BYTES > view.byteLength) return false
  return hasChecksum(view, offset, end + 1, view.getUint32(end + 1, true))
}

async function namesIn(dir: string): Promise<readonly string[]> {
  try {
    return await readdir(dir)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return []
    throw error
  }
}
