/** Requests and answers of `discovery.find` and `discovery.store` (NZ-DISCOVERY-01 §5), bounded before anything is built. */
import { z } from 'zod'
import { decodeCanonical, encodeCanonical } from '../framing/canonical-cbor.ts'
import { recordCodes } from './errors.ts'
import { K, MAX_MESSAGE_BYTES, MAX_RECORD_BYTES, MAX_RECORDS_PER_KEY, MAX_STORED } from './limits.ts'

export const FIND_METHOD = 'discovery.find'
export const STORE_METHOD = 'discovery.store'

export interface FindRequest {
  /** 32 bytes. */
  readonly target: Uint8Array
  readonly wantsRecords: boolean
  /** Whether the answerer tells its own record. */
  readonly wantsOwn: boolean
  /** The asker's peer record, when the answerer may not have it: who gives none enters no table. */
  readonly own: Uint8Array | null
}

export interface FindAnswer {
  /** Kept under the target. */
  readonly records: readonly Uint8Array[]
  /** Peer records of the nodes nearest to the target. */
  readonly closer: readonly Uint8Array[]
  readonly own: Uint8Array | null
}

export interface StoreItem {
  readonly key: Uint8Array
  readonly record: Uint8Array
}

const Bytes = (min: number, max: number): z.ZodType<Uint8Array> =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length >= min && value.length <= max)
const Key = Bytes(32, 32)
// One byte above the bound passes, so that a record that is too large is refused by its own code.
const Record = Bytes(1, MAX_RECORD_BYTES + 1)
const OwnRecord = Bytes(0, MAX_RECORD_BYTES)
const Find = z.tuple([z.literal(1), Key, z.number().int().min(0).max(3), OwnRecord])
const Found = z.tuple([z.literal(1), z.array(Record).max(MAX_RECORDS_PER_KEY), z.array(Record).max(K), OwnRecord])
const Store = z.tuple([
  z.literal(1),
  z
    .array(z.tuple([Key, Record]))
    .min(1)
    .max(MAX_STORED),
])
const Stored = z.tuple([z.literal(1), z.array(z.number().int().min(0).max(255)).min(1).max(MAX_STORED)])

const WANTS_RECORDS = 1
const WANTS_OWN = 2
const NONE = new Uint8Array()

export function encodeFind({ target, wantsRecords, wantsOwn, own }: FindRequest): Uint8Array {
  const flags = (wantsRecords ? WANTS_RECORDS : 0) | (wantsOwn ? WANTS_OWN : 0)
  return encodeCanonical([1, target, flags, own ?? NONE])
}

/** `null` for what is no request. */
export function decodeFind(bytes: Uint8Array): FindRequest | null {
  const read = parse(Find, bytes)
  if (read === null) return null
  const [, target, flags, own] = read
  return {
    target,
    wantsRecords: (flags & WANTS_RECORDS) !== 0,
    wantsOwn: (flags & WANTS_OWN) !== 0,
    own: own.length === 0 ? null : own,
  }
}

export function encodeFound({ records, closer, own }: FindAnswer): Uint8Array {
  return encodeCanonical([1, [...records], [...closer], own ?? NONE])
}

/** `null` for what is no answer. */
export function decodeFound(bytes: Uint8Array): FindAnswer | null {
  const read = parse(Found, bytes)
  if (read === null) return null
  const [, records, closer, own] = read
  return { records, closer, own: own.length === 0 ? null : own }
}

export function encodeStore(items: readonly StoreItem[]): Uint8Array {
  return encodeCanonical([1, items.map(({ key, record }) => [key, record])])
}

/** `null` for what is no request. */
export function decodeStore(bytes: Uint8Array): readonly StoreItem[] | null {
  return parse(Store, bytes)?.[1].map(([key, record]) => ({ key, record })) ?? null
}

export function encodeStored(codes: readonly (typeof recordCodes)[number][]): Uint8Array {
  return encodeCanonical([1, codes.map((code) => recordCodes.indexOf(code))])
}

/** Numbers of codes, in order of the records; `null` for what is no answer. */
export function decodeStored(bytes: Uint8Array): readonly number[] | null {
  return parse(Stored, bytes)?.[1] ?? null
}

function parse<T>(schema: z.ZodType<T>, bytes: Uint8Array): T | null {
  if (bytes.byteLength > MAX_MESSAGE_BYTES) return null
  try {
    const parsed = schema.safeParse(decodeCanonical(bytes))
    return parsed.success ? parsed.data : null
  } catch {
    // Not deterministic CBOR.
    return null
  }
}
