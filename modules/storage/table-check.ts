/**
 * Proves the checksums of LevelDB's table files before LevelDB reads them: it trusts its tables, and one with a changed
 * byte ends the process. Format: leveldb, doc/table_format.md.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { unsnappy } from './snappy.ts'

const FOOTER_BYTES = 48
const MAGIC = 0xdb4775248b80fb57n
/** type u8 · masked CRC-32C */
const TRAILER_BYTES = 5
/** Type of a compressed block; 0: as it is. */
const SNAPPY = 1
const TABLE_NAME = /^\d+\.(?:ldb|sst)$/

/** Names of the tables in `dir` whose bytes are not those that were written. A folder that is not there has none. */
export async function damagedTables(dir: string): Promise<readonly string[]> {
  const damaged: string[] = []
  const names = (await namesIn(dir)).filter((name) => TABLE_NAME.test(name))
  const read = async (name: string | undefined): Promise<Uint8Array | null> =>
    name === undefined ? null : await readFile(join(dir, name))
  let next = read(names[0])
  for (const [at, name] of names.entries()) {
    const table = await next
    // Read while this one is proven.
    next = read(names[at + 1])
    next.catch(() => undefined)
    if (table !== null && !isIntactTable(table)) damaged.push(name)
  }
  return damaged
}

/** Whether every block of a table has its checksum. Never throws for bad bytes. */
export function isIntactTable(table: Uint8Array): boolean {
  if (table.byteLength < FOOTER_BYTES) return false
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength)
  if (view.getBigUint64(table.byteLength - 8, true) !== MAGIC) return false
  const footer = new Varints(table, table.byteLength - FOOTER_BYTES, table.byteLength - 8)
  const metaindex = footer.handle()
  const index = footer.handle()
  if (metaindex === null || index === null || !isIntactBlock(view, metaindex) || !isIntactBlock(view, index))
    return false
  const packed = table.subarray(index.offset, index.offset + index.size)
  const opened = table[index.offset + index.size] === SNAPPY ? unsnappy(packed) : packed
  const blocks = opened === null ? null : handlesIn(opened)
  return blocks !== null && blocks.every((block) => isIntactBlock(view, block))
}

interface Handle {
  readonly offset: number
  readonly size: number
}

/** The blocks an index names; `null` when it is no index. */
function handlesIn(index: Uint8Array): readonly Handle[] | null {
  if (index.byteLength < 4) return null
  const view = new DataView(index.buffer, index.byteOffset, index.byteLength)
  const end = index.byteLength - 4 - 4 * view.getUint32(index.byteLength - 4, true)
  const reader = new Varints(index, 0, end)
  const handles: Handle[] = []
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

function isIntactBlock(view: DataView, { offset, size }: Handle): boolean {
  const end = offset + size
  if (end + TRAILER_BYTES > view.byteLength) return false
  const masked = (view.getUint32(end + 1, true) - 0xa282ead8) >>> 0
  return ((masked >>> 17) | (masked << 15)) >>> 0 === crc32c(view, offset, end + 1)
}

/** Four tables of 256: the one at 256 · n is of a byte that n more bytes follow. */
const CRC_TABLES = crcTables()

function crcTables(): Int32Array {
  const tables = new Int32Array(4 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
    tables[byte] = crc
  }
  for (let at = 256; at < tables.length; at++) {
    const before = tables[at - 256] ?? 0
    tables[at] = (before >>> 8) ^ (tables[before & 0xff] ?? 0)
  }
  return tables
}

/** CRC-32C (Castagnoli), RFC 3720 appendix B.4, of the bytes from `start` up to `end`; four bytes at a time. */
function crc32c(view: DataView, start: number, end: number): number {
  let crc = -1
  let at = start
  for (; at + 4 <= end; at += 4) {
    const word = crc ^ view.getInt32(at, true)
    crc =
      (CRC_TABLES[768 + (word & 0xff)] ?? 0) ^
      (CRC_TABLES[512 + ((word >>> 8) & 0xff)] ?? 0) ^
      (CRC_TABLES[256 + ((word >>> 16) & 0xff)] ?? 0) ^
      (CRC_TABLES[word >>> 24] ?? 0)
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ (CRC_TABLES[(crc ^ view.getUint8(at)) & 0xff] ?? 0)
  return ~crc >>> 0
}

/** Reads LevelDB's variable-length numbers; those above 2^53 are no offsets of ours. */
class Varints {
  at: number
  readonly #bytes: Uint8Array
  readonly #end: number

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes
    this.at = start
    this.#end = end
  }

  next(): number | null {
    let value = 0
    for (let scale = 1; scale <= 2 ** 49; scale *= 128) {
      const byte = this.at < this.#end ? this.#bytes[this.at++] : undefined
      if (byte === undefined) return null
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return Number.isSafeInteger(value) ? value : null
    }
    return null
  }

  handle(): Handle | null {
    const offset = this.next()
    const size = this.next()
    return offset === null || size === null ? null : { offset, size }
  }
}

async function namesIn(dir: string): Promise<readonly string[]> {
  try {
    return await readdir(dir)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}
