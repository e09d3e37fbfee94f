/**
 * Who there is besides the nearest (NZ-DISCOVERY-01 §4.4): asks for one place in each part of the space, and in halves
 * of a part where an answer was too small for all who stand there. Sans-I/O: `next` says what to ask for, `answered`
 * what was told.
 */
import { bitOf, commonBits, flipBit, placeOf } from './distance.ts'
import { K, MAX_SURVEYED_BUCKETS } from './limits.ts'
import { capacityOf } from './routing-table.ts'
import type { Place } from './distance.ts'

/** Places that share their first `bits` bits with `place`. */
export interface Part {
  /** A random one of them. */
  readonly place: Place
  readonly bits: number
}

interface Waiting extends Part {
  readonly bucket: number
}

export interface SurveyServices {
  readonly randomBytes: (count: number) => Uint8Array
  /** Whether the table can take anybody who stands in this bucket. */
  readonly hasRoom: (bucket: number) => boolean
}

export class Survey {
  readonly #services: SurveyServices
  /** The near ones are last, and asked for first: they are few, and whoever is found there knows others. */
  readonly #waiting: Waiting[] = []
  #asked: Waiting | null = null

  /** Of the first `buckets` buckets around `self`, at most MAX_SURVEYED_BUCKETS. */
  constructor(self: Place, buckets: number, services: SurveyServices) {
    this.#services = services
    for (let bucket = 0; bucket < Math.min(buckets, MAX_SURVEYED_BUCKETS); bucket++) {
      const beside = flipped(self, bucket)
      this.#waiting.push({ place: this.#placeIn(beside, bucket + 1), bits: bucket + 1, bucket })
    }
  }

  /** The part to ask somebody of next; `null`: all were. */
  next(): Part | null {
    do this.#asked = this.#waiting.pop() ?? null
    while (this.#asked !== null && !this.#services.hasRoom(this.#asked.bucket))
    return this.#asked
  }

  /** Places of those who were told as the nearest to the place of the last part. */
  answered(told: readonly Place[]): void {
    const part = this.#asked
    this.#asked = null
    if (part === null) return
    // Whoever stands in a part is nearer to its places than all who do not: one from outside, and nobody is left out.
    const isWhole = told.length < K || told.some((place) => commonBits(place, part.place) < part.bits)
    if (isWhole || part.bits - part.bucket > halvings(part.bucket)) return
    const bits = part.bits + 1
    for (const half of [part.place, flipped(part.place, part.bits)])
      this.#waiting.push({ place: this.#placeIn(half, bits), bits, bucket: part.bucket })
  }

  #placeIn(like: Place, bits: number): Place {
    const place = placeOf(this.#services.randomBytes(32))
    for (let bit = 0; bit < bits; bit++) if (bitOf(place, bit) !== bitOf(like, bit)) flipBit(place, bit)
    return place
  }
}

/** How often a bucket is cut in two until an answer for each piece is as much as the bucket can hold. */
function halvings(bucket: number): number {
  return Math.ceil(Math.log2(capacityOf(bucket) / K))
}

function flipped(place: Place, bit: number): Place {
  const other = Uint32Array.from(place)
  flipBit(other, bit)
  return other
}
