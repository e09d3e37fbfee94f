/** Requests and answers of `trust.reconcile` (NZ-TRUST-01 §5), bounded before anything is built from them. */
import { z } from 'zod'
import { decodeCanonical, encodeCanonical } from '../framing/canonical-cbor.ts'
import { MAX_REVOCATIONS_PER_ISSUER, MAX_SEQUENCE, MAX_UPDATE_BYTES } from './limits.ts'
import { bytesOf, keyOf } from './update.ts'
import type { Key } from './update.ts'

export const RECONCILE_METHOD = 'trust.reconcile'
/** Of a request, and of an answer. */
export const MAX_MESSAGE_BYTES = 262_144
export const MAX_RANGES = 1_024
/** Parts that a large range is cut into, and issuers of one that is told one by one. */
export const RANGE_PARTS = 16
export const MAX_PULLS = 512
export const MAX_LOCATOR = 32
export const MAX_EXTRAS = MAX_REVOCATIONS_PER_ISSUER
export const MAX_PUSHED = 1_024
const PRINT_BYTES = 16

/** Issuers from `from` (inclusive) to `to` (exclusive; '' is the end): hexadecimal prefixes of keys. */
export interface Range {
  readonly from: string
  readonly to: string
  /** First 16 bytes of the hash over the states in it, in hexadecimal. */
  readonly print: string
}

export type RangeAnswer =
  | { readonly kind: 'same' }
  /** The range in consecutive parts: where each ends, and its print. */
  | { readonly kind: 'parts'; readonly parts: readonly { readonly to: string; readonly print: string }[] }
  | { readonly kind: 'issuers'; readonly issuers: readonly IssuerState[] }

export interface IssuerState {
  readonly issuer: Key
  /** Length of the chain. */
  readonly length: number
  /** First 16 bytes of the state, in hexadecimal. */
  readonly print: string
}

export interface Pull {
  readonly issuer: Key
  /** Ids of the asker's own chain, the latest first. */
  readonly locator: readonly { readonly sequence: number; readonly id: Key }[]
  /** Ids that the asker keeps beside its chain. */
  readonly extras: readonly Key[]
}

export type ReconcileRequest =
  | { readonly kind: 'compare'; readonly ranges: readonly Range[] }
  | { readonly kind: 'pull'; readonly pulls: readonly Pull[] }
  | { readonly kind: 'push'; readonly updates: readonly Uint8Array[] }

export interface PullAnswer {
  /** How much of the asker's chain the answerer has, too: the sequence of the highest common update. */
  readonly common: number
  /** What the answerer keeps beside its chain, of what the asker named. */
  readonly held: readonly Key[]
  readonly updates: readonly Uint8Array[]
  /** There was no room for all. */
  readonly hasMore: boolean
}

export type ReconcileAnswer =
  | { readonly kind: 'compared'; readonly ranges: readonly RangeAnswer[] }
  /** In order of the pulls; those behind the last one were left out for want of room and are to be pulled again. */
  | { readonly kind: 'pulled'; readonly answers: readonly PullAnswer[] }
  /** Numbers of codes, in order of the updates. */
  | { readonly kind: 'pushed'; readonly codes: readonly number[] }

const Bytes = (min: number, max: number): z.ZodType<Uint8Array> =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length >= min && value.length <= max)
const Bound = Bytes(0, 32)
const Id = Bytes(32, 32)
const Print = Bytes(PRINT_BYTES, PRINT_BYTES)
const Sequence = z.number().int().min(1).max(MAX_SEQUENCE)
const Count = z.number().int().min(0).max(MAX_SEQUENCE)
const Updates = z.array(Bytes(1, MAX_UPDATE_BYTES)).max(MAX_PUSHED)

const RequestItems = z.union([
  z.tuple([
    z.literal(1),
    z
      .array(z.tuple([Bound, Bound, Print]))
      .min(1)
      .max(MAX_RANGES),
  ]),
  z.tuple([
    z.literal(2),
    z
      .array(z.tuple([Id, z.array(z.tuple([Sequence, Id])).max(MAX_LOCATOR), z.array(Id).max(MAX_EXTRAS)]))
      .min(1)
      .max(MAX_PULLS),
  ]),
  z.tuple([z.literal(3), Updates.min(1)]),
])
const AnswerItems = z.union([
  z.tuple([
    z.literal(1),
    z
      .array(
        z.union([
          z.tuple([z.literal(0)]),
          z.tuple([
            z.literal(1),
            z
              .array(z.tuple([Bound, Print]))
              .min(1)
              .max(RANGE_PARTS),
          ]),
          z.tuple([z.literal(2), z.array(z.tuple([Id, Count, Print])).max(RANGE_PARTS)]),
        ]),
      )
      .max(MAX_RANGES),
  ]),
  z.tuple([
    z.literal(2),
    z
      .array(z.tuple([Count, z.array(Id).max(MAX_EXTRAS), Updates, z.boolean()]))
      .min(1)
      .max(MAX_PULLS),
  ]),
  z.tuple([z.literal(3), z.array(z.number().int().min(0).max(255)).max(MAX_PUSHED)]),
])

export function encodeRequest(request: ReconcileRequest): Uint8Array {
  switch (request.kind) {
    case 'compare':
      return encodeCanonical([
        1,
        request.ranges.map(({ from, to, print }) => [bytesOf(from), bytesOf(to), bytesOf(print)]),
      ])
    case 'pull':
      return encodeCanonical([
        2,
        request.pulls.map(({ issuer, locator, extras }) => [
          bytesOf(issuer),
          locator.map(({ sequence, id }) => [sequence, bytesOf(id)]),
          extras.map(bytesOf),
        ]),
      ])
    case 'push':
      return encodeCanonical([3, request.updates])
  }
}

/** `null` for anything that is no request. */
export function decodeRequest(bytes: Uint8Array): ReconcileRequest | null {
  const items = itemsOf(bytes, RequestItems)
  if (items === null) return null
  switch (items[0]) {
    case 1: {
      const ranges = items[1].map(([from, to, print]) => ({ from: keyOf(from), to: keyOf(to), print: keyOf(print) }))
      return ranges.every(({ from, to }) => to === '' || from < to) ? { kind: 'compare', ranges } : null
    }
    case 2:
      return {
        kind: 'pull',
        pulls: items[1].map(([issuer, locator, extras]) => ({
          issuer: keyOf(issuer),
          locator: locator.map(([sequence, id]) => ({ sequence, id: keyOf(id) })),
          extras: extras.map(keyOf),
        })),
      }
    case 3:
      return { kind: 'push', updates: items[1] }
  }
}

export function encodeAnswer(answer: ReconcileAnswer): Uint8Array {
  switch (answer.kind) {
    case 'compared':
      return encodeCanonical([1, answer.ranges.map(rangeAnswerItems)])
    case 'pulled':
      return encodeCanonical([
        2,
        answer.answers.map(({ common, held, updates, hasMore }) => [common, held.map(bytesOf), updates, hasMore]),
      ])
    case 'pushed':
      return encodeCanonical([3, answer.codes])
  }
}

/** `null` for anything that is no answer. */
export function decodeAnswer(bytes: Uint8Array): ReconcileAnswer | null {
  const items = itemsOf(bytes, AnswerItems)
  if (items === null) return null
  switch (items[0]) {
    case 1:
      return { kind: 'compared', ranges: items[1].map(rangeAnswerOf) }
    case 2:
      return {
        kind: 'pulled',
        answers: items[1].map(([common, held, updates, hasMore]) => ({
          common,
          held: held.map(keyOf),
          updates,
          hasMore,
        })),
      }
    case 3:
      return { kind: 'pushed', codes: items[1] }
  }
}

function itemsOf<T>(bytes: Uint8Array, schema: z.ZodType<T>): T | null {
  if (bytes.length > MAX_MESSAGE_BYTES) return null
  try {
    const parsed = schema.safeParse(decodeCanonical(bytes))
    return parsed.success ? parsed.data : null
  } catch {
    // Not deterministic CBOR.
    return null
  }
}

function rangeAnswerItems(answer: RangeAnswer): unknown[] {
  if (answer.kind === 'same') return [0]
  if (answer.kind === 'parts') return [1, answer.parts.map(({ to, print }) => [bytesOf(to), bytesOf(print)])]
  return [2, answer.issuers.map(({ issuer, length, print }) => [bytesOf(issuer), length, bytesOf(print)])]
}

type RangeAnswerItems = [0] | [1, [Uint8Array, Uint8Array][]] | [2, [Uint8Array, number, Uint8Array][]]

function rangeAnswerOf(items: RangeAnswerItems): RangeAnswer {
  if (items[0] === 0) return { kind: 'same' }
  if (items[0] === 1) {
    return { kind: 'parts', parts: items[1].map(([to, print]) => ({ to: keyOf(to), print: keyOf(print) })) }
  }
  const issuers = items[1].map(([issuer, length, print]) => ({ issuer: keyOf(issuer), length, print: keyOf(print) }))
  return { kind: 'issuers', issuers }
}
