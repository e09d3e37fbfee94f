/** Signed records: where a peer is, what it offers, small values (NZ-DISCOVERY-01 §3). */
import { hash } from 'node:crypto'
import { z } from 'zod'
import { decodeCanonical, encodeCanonical } from '../framing/canonical-cbor.ts'
import {
  CLOCK_TOLERANCE_MS,
  MAX_ADDRESS_LENGTH,
  MAX_ADDRESSES,
  MAX_CAPABILITIES,
  MAX_NAME_LENGTH,
  MAX_RECORD_BYTES,
  MAX_SEQUENCE,
  MAX_TTL_S,
  MAX_VALUE_BYTES,
  MAX_VERSION_LENGTH,
} from './limits.ts'
import type { RecordCode } from './errors.ts'

export const RECORD_PURPOSE = 'nzcore/discovery-record/1'
const VERSION = 1
const KEY_BYTES = 32
const SIGNATURE_BYTES = 64

export const serviceHealths = ['unknown', 'healthy', 'degraded', 'failing'] as const
export type ServiceHealth = (typeof serviceHealths)[number]

export type Content =
  /** Where the signer can be dialled: multiaddrs without a peer id, the best first. None: it is not to be dialled. */
  | { readonly kind: 'peer'; readonly addresses: readonly string[] }
  | {
      readonly kind: 'service'
      readonly name: string
      readonly version: string
      readonly health: ServiceHealth
      /** In ascending order. */
      readonly capabilities: readonly string[]
    }
  /** What the signer offered by this name is no more; its capabilities say where the offer was stored. */
  | { readonly kind: 'withdrawn'; readonly name: string; readonly capabilities: readonly string[] }
  | { readonly kind: 'value'; readonly name: string; readonly value: Uint8Array }

export interface RecordBody {
  /** Node public key, 32 bytes in lower-case hexadecimal. */
  readonly signer: string
  /** Milliseconds since 1970 by the signer's clock when it was signed; higher than in all records before. */
  readonly sequence: number
  readonly ttlS: number
  readonly content: Content
}

export interface DiscoveryRecord extends RecordBody {
  /** The whole record as it travels. */
  readonly bytes: Uint8Array
}

export type Sign = (purpose: typeof RECORD_PURPOSE, message: Uint8Array) => Uint8Array
export type Verify = (
  purpose: typeof RECORD_PURPOSE,
  message: Uint8Array,
  signature: Uint8Array,
  publicKey: Uint8Array,
) => boolean

const Bytes = (min: number, max: number): z.ZodType<Uint8Array> =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length >= min && value.length <= max)
/** Names, versions and capabilities: nothing that needs escaping in a log or a command line. */
const word = (max: number) =>
  z
    .string()
    .max(max)
    .regex(/^[a-z0-9](?:[a-z0-9._/-]*[a-z0-9])?$/)
const Name = word(MAX_NAME_LENGTH)
const Version = z
  .string()
  .max(MAX_VERSION_LENGTH)
  .regex(/^[A-Za-z0-9][A-Za-z0-9.+_-]*$/)
/** What a record may say of where a peer is. */
export const Address = z
  .string()
  .max(MAX_ADDRESS_LENGTH)
  .regex(/^\/(?:ip4|ip6|dns|dns4|dns6)\/[A-Za-z0-9.:_-]+\/[A-Za-z0-9/._:-]+$/)
const Capabilities = z
  .array(word(MAX_NAME_LENGTH))
  .max(MAX_CAPABILITIES)
  .refine((all) => all.every((each, at) => at === 0 || (all[at - 1] ?? '') < each))
const Health = z.union([z.literal(0), z.literal(1), z.literal(2), z.literal(3)])

const Envelope = z.tuple([z.literal(RECORD_PURPOSE), z.instanceof(Uint8Array), Bytes(SIGNATURE_BYTES, SIGNATURE_BYTES)])
const ContentItems = z.union([
  z.tuple([z.literal(0), z.array(Address).max(MAX_ADDRESSES)]),
  z.tuple([z.literal(1), Name, Version, Health, Capabilities]),
  z.tuple([z.literal(2), Name, Capabilities]),
  z.tuple([z.literal(3), Name, Bytes(0, MAX_VALUE_BYTES)]),
])
const Body = z.tuple([
  z.literal(VERSION),
  Bytes(KEY_BYTES, KEY_BYTES),
  z.number().int().min(1).max(MAX_SEQUENCE),
  z.number().int().min(1).max(MAX_TTL_S),
  ContentItems,
])

/** Whether a content keeps to the bounds and the letters of NZ-DISCOVERY-01 §3. */
export function isContent(content: Content): boolean {
  return ContentItems.safeParse(itemsOf(content)).success
}

/** The signed record. The caller has checked `isContent`. */
export function createRecord(body: RecordBody, sign: Sign): DiscoveryRecord {
  const { signer, sequence, ttlS, content } = body
  const encoded = encodeCanonical([VERSION, Buffer.from(signer, 'hex'), sequence, ttlS, itemsOf(content)])
  return { ...body, bytes: encodeCanonical([RECORD_PURPOSE, encoded, sign(RECORD_PURPOSE, encoded)]) }
}

/**
 * The record in `bytes` if every rule of NZ-DISCOVERY-01 §3.2 holds at `nowMs`, else the first that does not. Without
 * `verify` the signature is not looked at: for sorting contacts before the few that are used are verified; with `nowMs`
 * null its time is not.
 */
export function readRecord(
  bytes: Uint8Array,
  { verify, nowMs }: { readonly verify: Verify | null; readonly nowMs: number | null },
): DiscoveryRecord | RecordCode {
  if (bytes.byteLength > MAX_RECORD_BYTES) return 'NZ_DISCOVERY_TOO_LARGE'
  const parts = partsOf(bytes)
  if (parts === null) return 'NZ_DISCOVERY_MALFORMED'
  const version: unknown = Array.isArray(parts.items) ? parts.items[0] : undefined
  if (Number.isInteger(version) && Number(version) >= 0 && version !== VERSION) return 'NZ_DISCOVERY_VERSION'
  const parsed = Body.safeParse(parts.items)
  if (!parsed.success) return 'NZ_DISCOVERY_MALFORMED'
  const [, key, sequence, ttlS, items] = parsed.data
  if (verify !== null && !verify(RECORD_PURPOSE, parts.encoded, parts.signature, key)) return 'NZ_DISCOVERY_FORGED'
  const record = { signer: Buffer.from(key).toString('hex'), sequence, ttlS, content: contentOf(items), bytes }
  return nowMs === null || isCurrent(record, nowMs) ? record : 'NZ_DISCOVERY_EXPIRED'
}

export function isCurrent({ sequence, ttlS }: Pick<RecordBody, 'sequence' | 'ttlS'>, nowMs: number): boolean {
  return nowMs < sequence + ttlS * 1_000 && sequence <= nowMs + CLOCK_TOLERANCE_MS
}

/** Where a node stands and its peer record is kept. */
export function keyOfPeer(signer: string): Uint8Array {
  return digest('peer', Buffer.from(signer, 'hex'))
}

export function keyOfService(name: string): Uint8Array {
  return digest('service', Buffer.from(name, 'utf8'))
}

export function keyOfCapability(capability: string): Uint8Array {
  return digest('capability', Buffer.from(capability, 'utf8'))
}

export function keyOfValue(signer: string, name: string): Uint8Array {
  return digest('value', Buffer.concat([Buffer.from(signer, 'hex'), Buffer.from(name, 'utf8')]))
}

/** Every key a record belongs under, at most 9. */
export function keysOf({ signer, content }: Pick<RecordBody, 'signer' | 'content'>): readonly Uint8Array[] {
  switch (content.kind) {
    case 'peer':
      return [keyOfPeer(signer)]
    case 'value':
      return [keyOfValue(signer, content.name)]
    case 'service':
    case 'withdrawn':
      return [keyOfService(content.name), ...content.capabilities.map(keyOfCapability)]
  }
}

/** What a later record of the same signer takes the place of. */
export function slotOf({ signer, content }: Pick<RecordBody, 'signer' | 'content'>): string {
  if (content.kind === 'peer') return `${signer}/peer`
  return `${signer}/${content.kind === 'value' ? 'value' : 'service'}/${content.name}`
}

function digest(label: string, bytes: Uint8Array): Uint8Array {
  return hash('sha256', Buffer.concat([Buffer.from(`nzcore/discovery/1/${label}`), bytes]), 'buffer')
}

function partsOf(
  bytes: Uint8Array,
): { readonly encoded: Uint8Array; readonly signature: Uint8Array; readonly items: unknown } | null {
  try {
    const envelope = Envelope.safeParse(decodeCanonical(bytes))
    if (!envelope.success) return null
    const [, encoded, signature] = envelope.data
    return { encoded, signature, items: decodeCanonical(encoded) }
  } catch {
    // Not deterministic CBOR.
    return null
  }
}

function contentOf(items: z.infer<typeof ContentItems>): Content {
  switch (items[0]) {
    case 0:
      return { kind: 'peer', addresses: items[1] }
    case 1:
      return {
        kind: 'service',
        name: items[1],
        version: items[2],
        health: serviceHealths[items[3]],
        capabilities: items[4],
      }
    case 2:
      return { kind: 'withdrawn', name: items[1], capabilities: items[2] }
    case 3:
      return { kind: 'value', name: items[1], value: items[2] }
  }
}

function itemsOf(content: Content): unknown[] {
  switch (content.kind) {
    case 'peer':
      return [0, [...content.addresses]]
    case 'service':
      return [1, content.name, content.version, serviceHealths.indexOf(content.health), [...content.capabilities]]
    case 'withdrawn':
      return [2, content.name, [...content.capabilities]]
    case 'value':
      return [3, content.name, content.value]
  }
}
