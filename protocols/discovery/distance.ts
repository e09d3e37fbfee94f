/** Places in the key space and the distance between them (NZ-DISCOVERY-01 §2): 256 bits, compared by exclusive or. */

const WORDS = 8

/** 256 bits as eight 32-bit words, the highest first. */
export type Place = Uint32Array

/** @throws RangeError for other than 32 bytes: the caller has checked them */
export function placeOf(bytes: Uint8Array): Place {
  if (bytes.byteLength !== WORDS * 4) throw new RangeError(`a place has 32 bytes, not ${bytes.byteLength}`)
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  return Uint32Array.from({ length: WORDS }, (_, at) => view.getUint32(at * 4))
}

export function bytesOfPlace(place: Place): Uint8Array {
  const bytes = new Uint8Array(WORDS * 4)
  const view = new DataView(bytes.buffer)
  place.forEach((word, at) => view.setUint32(at * 4, word))
  return bytes
}

/** Below 0 when `a` is nearer to `target` than `b`, above 0 when farther, 0 for one place. */
export function compareDistance(target: Place, a: Place, b: Place): number {
  for (let at = 0; at < WORDS; at++) {
    const word = target[at] ?? 0
    const fromA = ((a[at] ?? 0) ^ word) >>> 0
    const fromB = ((b[at] ?? 0) ^ word) >>> 0
    if (fromA !== fromB) return fromA < fromB ? -1 : 1
  }
  return 0
}

/** Leading bits that both share; 256 for one place. */
export function commonBits(a: Place, b: Place): number {
  for (let at = 0; at < WORDS; at++) {
    const differing = ((a[at] ?? 0) ^ (b[at] ?? 0)) >>> 0
    if (differing !== 0) return at * 32 + Math.clz32(differing)
  }
  return WORDS * 32
}

/** The distance as a part of the whole space, 0 to 1, in the precision of a double. */
export function fractionBetween(a: Place, b: Place): number {
  const high = ((a[0] ?? 0) ^ (b[0] ?? 0)) >>> 0
  const low = ((a[1] ?? 0) ^ (b[1] ?? 0)) >>> 0
  return (high + low / 2 ** 32) / 2 ** 32
}

/** The bit at a position from the highest, 0. */
export function bitOf(place: Place, bit: number): number {
  return ((place[bit >> 5] ?? 0) >>> (31 - (bit & 31))) & 1
}

export function flipBit(place: Place, bit: number): void {
  place[bit >> 5] = ((place[bit >> 5] ?? 0) ^ (1 << (31 - (bit & 31)))) >>> 0
}
