/** A contact of both makes two peers known to each other: one statement, signed by the introducer (NZ-DISCOVERY-01 §10). */
import { hash } from 'node:crypto'
import { z } from 'zod'
import { decodeCanonical, encodeCanonical } from '../framing/canonical-cbor.ts'
import { displayName } from '../invite/name.ts'
import { CLOCK_TOLERANCE_MS, MAX_ADDRESSES, MAX_SEQUENCE, MAX_TTL_S } from './limits.ts'
import { Address } from './record.ts'

export const INTRODUCTION_PURPOSE = 'nzcore/introduction/1'
export const OFFER_METHOD = 'introduction.offer'
export const ACCEPT_METHOD = 'introduction.accept'
export const MAX_INTRODUCTION_BYTES = 4_096
const ID_CHARACTERS = 16
const VERSION = 1

export interface IntroducedPeer {
  /** Node public key, 32 bytes in lower-case hexadecimal. */
  readonly key: string
  /** How the introducer calls it. */
  readonly name: string
  /** Without the peer id, best first. */
  readonly addresses: readonly string[]
}

export interface IntroductionBody {
  readonly introducer: string
  readonly peers: readonly [IntroducedPeer, IntroducedPeer]
  readonly issuedMs: number
  readonly ttlS: number
}

export interface Introduction extends IntroductionBody {
  readonly id: string
  readonly bytes: Uint8Array
}

export type Sign = (purpose: typeof INTRODUCTION_PURPOSE, message: Uint8Array) => Uint8Array
export type Verify = (
  purpose: typeof INTRODUCTION_PURPOSE,
  message: Uint8Array,
  signature: Uint8Array,
  publicKey: Uint8Array,
) => boolean

const Bytes = (length: number): z.ZodType<Uint8Array> =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === length)
const Peer = z.tuple([
  Bytes(32),
  z.string().refine((name) => displayName(name) === name),
  z.array(Address).max(MAX_ADDRESSES),
])
const Envelope = z.tuple([z.literal(INTRODUCTION_PURPOSE), z.instanceof(Uint8Array), Bytes(64)])
const Body = z.tuple([
  z.literal(VERSION),
  Bytes(32),
  z.tuple([Peer, Peer]),
  z.number().int().min(1).max(MAX_SEQUENCE),
  z.number().int().min(1).max(MAX_TTL_S),
])

export function createIntroduction(body: IntroductionBody, sign: Sign): Introduction {
  const encoded = encodeCanonical([
    VERSION,
    Buffer.from(body.introducer, 'hex'),
    body.peers.map(({ key, name, addresses }) => [Buffer.from(key, 'hex'), name, [...addresses]]),
    body.issuedMs,
    body.ttlS,
  ])
  const bytes = encodeCanonical([INTRODUCTION_PURPOSE, encoded, sign(INTRODUCTION_PURPOSE, encoded)])
  return { ...body, id: idOf(encoded), bytes }
}

/** The introduction in `bytes` if it is whole, signed by its introducer and current at `nowMs`; else `null`. */
export function readIntroduction(
  bytes: Uint8Array,
  { verify, nowMs }: { readonly verify: Verify; readonly nowMs: number },
): Introduction | null {
  const parts = partsOf(bytes)
  if (parts === null) return null
  const { encoded, signature, body } = parts
  const [, introducerKey, [one, other], issuedMs, ttlS] = body
  const introducer = hex(introducerKey)
  const peers = [peerOf(one), peerOf(other)] as const
  if (new Set([introducer, peers[0].key, peers[1].key]).size !== 3) return null
  if (nowMs >= issuedMs + ttlS * 1_000 || issuedMs > nowMs + CLOCK_TOLERANCE_MS) return null
  if (!verify(INTRODUCTION_PURPOSE, encoded, signature, introducerKey)) return null
  return { introducer, peers, issuedMs, ttlS, id: idOf(encoded), bytes }
}

function partsOf(
  bytes: Uint8Array,
): { readonly encoded: Uint8Array; readonly signature: Uint8Array; readonly body: z.infer<typeof Body> } | null {
  if (bytes.byteLength > MAX_INTRODUCTION_BYTES) return null
  try {
    const [, encoded, signature] = Envelope.parse(decodeCanonical(bytes))
    return { encoded, signature, body: Body.parse(decodeCanonical(encoded)) }
  } catch {
    // Not deterministic CBOR, or out of bounds.
    return null
  }
}

function peerOf([key, name, addresses]: z.infer<typeof Peer>): IntroducedPeer {
  return { key: hex(key), name, addresses }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function idOf(encoded: Uint8Array): string {
  return hash('sha256', encoded, 'hex').slice(0, ID_CHARACTERS)
}
