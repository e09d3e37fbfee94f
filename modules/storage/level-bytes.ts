/** Numbers and checksums as LevelDB writes them into its files. Format: leveldb, doc/table_format.md, doc/log_format.md. */

export interface BlockHandle {
  readonly offset: number
  readonly size: number
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

/** Whether `masked`, as LevelDB writes checksums, is that of the bytes from `start` up to `end`. */
export function hasChecksum(view: DataView, start: number, end: number, masked: number): boolean {
  const turned = (masked - 0xa282ead8) >>> 0
  return ((turned >>> 17) | (turned << 15)) >>> 0 === crc32c(view, start, end)
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
export class Varints {
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

  handle(): BlockHandle | null {
    const offset = this.next()
    const size = this.next()
    return offset === null || size === null ? null : { offset, size }
  }

  /** Bytes with their length before them, as a view; `null` when there are not so many. */
  bytes(): Uint8Array | null {
    const length = this.next()
    if (length === null || this.at + length > this.#end) return null
    this.at += length
    return this.#bytes.subarray(this.at - length, this.at)
  }

  get isAtEnd(): boolean {
    return this.at === this.#end
  }
}
