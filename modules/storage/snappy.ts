/** Opens Snappy blocks: LevelDB compresses the indexes of tables that it rebuilds. google/snappy, format_description.txt. */

/** The largest block that is opened; indexes of our tables are far smaller. */
const MAX_BYTES = 16_777_216

/** `null` when these bytes are no such block. */
export function unsnappy(packed: Uint8Array): Uint8Array | null {
  let at = 0
  let length = 0
  for (let scale = 1; ; scale *= 128) {
    const byte = packed[at++]
    if (byte === undefined || scale > 2 ** 28) return null
    length += (byte & 0x7f) * scale
    if (byte < 0x80) break
  }
  if (length > MAX_BYTES) return null
  const out = new Uint8Array(length)
  let filled = 0
  while (at < packed.byteLength) {
    const tag = packed[at++] ?? 0
    const kind = tag & 3
    if (kind === 0) {
      let size = (tag >>> 2) + 1
      if (size > 60) {
        const width = size - 60
        size = littleEndian(packed, at, width) + 1
        at += width
      }
      if (at + size > packed.byteLength || filled + size > length) return null
      out.set(packed.subarray(at, at + size), filled)
      at += size
      filled += size
      continue
    }
    const width = kind === 1 ? 1 : kind === 2 ? 2 : 4
    const size = kind === 1 ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1
    const back = littleEndian(packed, at, width) + (kind === 1 ? (tag >>> 5) * 256 : 0)
    at += width
    if (back === 0 || back > filled || filled + size > length) return null
    // A copy may reach into what it writes.
    for (let i = 0; i < size; i++, filled++) out[filled] = out[filled - back] ?? 0
  }
  return filled === length ? out : null
}

function littleEndian(bytes: Uint8Array, at: number, width: number): number {
  let value = 0
  for (let i = width - 1; i >= 0; i--) value = value * 256 + (bytes[at + i] ?? 0)
  return value
}
