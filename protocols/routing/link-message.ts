/** Messages between neighbours: offers of a link in the clear, everything else under its keys (NZ-ROUTING-01 §2). */
import { createHmac, createSecretKey, hkdfSync, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import { encodeCanonical } from '../framing/canonical-cbor.ts'
import { x25519 } from '../noise/x25519.ts'
import { MAX_MESSAGE_BYTES } from './limits.ts'
import { bytesOf, hexOf, itemsOf, KEY_BYTES, LINK_PURPOSE, SIGNATURE_BYTES, VERSION } from './signing.ts'
import type { KeyObject } from 'node:crypto'
import type { Key, Sign, Verify } from './signing.ts'

/** First byte of a message. */
export const messageTypes = {
  open: 0,
  hello: 1,
  announce: 2,
  request: 3,
  setup: 4,
  answer: 5,
  closed: 6,
  packet: 7,
  confirm: 8,
} as const
export type MessageType = (typeof messageTypes)[Exclude<keyof typeof messageTypes, 'open'>]

const COUNTER_BYTES = 8
const MAC_BYTES = 16
export const SEALED_HEAD_BYTES = 1 + COUNTER_BYTES + MAC_BYTES
const MAX_OPEN_BYTES = 512
const HASH = 'sha256'

/** An offer of a link by `from` to `to`. */
export interface LinkOpen {
  readonly from: Key
  readonly to: Key
  /** X25519 public key of this offer, 32 bytes; of no other. */
  readonly ephemeral: Uint8Array
  /** The ephemeral key that the other side has offered last; empty before. */
  readonly heard: Uint8Array
}

const Bytes = (length: number): z.ZodType<Uint8Array> =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === length)
const Open = z.tuple([z.literal(LINK_PURPOSE), z.instanceof(Uint8Array), Bytes(SIGNATURE_BYTES)])
const OpenBody = z.tuple([
  z.literal(VERSION),
  Bytes(KEY_BYTES),
  Bytes(KEY_BYTES),
  Bytes(KEY_BYTES),
  z.union([Bytes(KEY_BYTES), Bytes(0)]),
])

export function encodeOpen({ from, to, ephemeral, heard }: LinkOpen, sign: Sign): Uint8Array {
  const body = encodeCanonical([VERSION, bytesOf(from), bytesOf(to), ephemeral, heard])
  const encoded = encodeCanonical([LINK_PURPOSE, body, sign(LINK_PURPOSE, body)])
  return Buffer.concat([Uint8Array.of(messageTypes.open), encoded])
}

/** `null` for anything that is no offer, or not signed by whom it names. */
export function decodeOpen(message: Uint8Array, verify: Verify): LinkOpen | null {
  const outer = itemsOf(message.subarray(1), Open, MAX_OPEN_BYTES)
  const body = outer === null ? null : itemsOf(outer[1], OpenBody, MAX_OPEN_BYTES)
  if (outer === null || body === null) return null
  const [, from, to, ephemeral, heard] = body
  if (!verify(LINK_PURPOSE, outer[1], outer[2], from)) return null
  return { from: hexOf(from), to: hexOf(to), ephemeral, heard }
}

/** 32 bytes each. */
export interface LinkKeys {
  readonly send: Uint8Array
  readonly receive: Uint8Array
}

export interface LinkEnd {
  readonly key: Key
  readonly ephemeral: Uint8Array
}

/** @throws NZ_NOISE_KEY_REFUSED for an ephemeral key of low order */
export function linkKeys(own: LinkEnd & { readonly privateKey: KeyObject }, other: LinkEnd): LinkKeys {
  const isLow = own.key < other.key
  const [low, high] = isLow ? [own, other] : [other, own]
  const info = Buffer.concat([
    Buffer.from(LINK_PURPOSE),
    bytesOf(low.key),
    bytesOf(high.key),
    low.ephemeral,
    high.ephemeral,
  ])
  const secret = x25519(own.privateKey, other.ephemeral)
  const keys = new Uint8Array(hkdfSync(HASH, secret, new Uint8Array(0), info, 2 * KEY_BYTES))
  secret.fill(0)
  const [first, second] = [keys.subarray(0, KEY_BYTES), keys.subarray(KEY_BYTES)]
  return isLow ? { send: first, receive: second } : { send: second, receive: first }
}

/** A message that only the other end of the link can have made, of parts that are not copied before. */
export function seal(key: Uint8Array, type: MessageType, counter: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, SEALED_HEAD_BYTES)
  const message = Buffer.allocUnsafe(length)
  message[0] = type
  message.writeBigUInt64BE(BigInt(counter), 1)
  let at = SEALED_HEAD_BYTES
  for (const part of parts) {
    message.set(part, at)
    at += part.length
  }
  macOf(key, message).copy(message, 1 + COUNTER_BYTES, 0, MAC_BYTES)
  return message
}

/** Messages that the receiver confirms, and the sender repeats until then. */
export function isConfirmed(type: MessageType): boolean {
  return type !== messageTypes.hello && type !== messageTypes.packet && type !== messageTypes.confirm
}

export function encodeConfirmation(counter: number): Uint8Array {
  const body = Buffer.alloc(COUNTER_BYTES)
  body.writeBigUInt64BE(BigInt(counter))
  return body
}

/** The counter of the message that came; `null` for what is no confirmation. */
export function decodeConfirmation(body: Uint8Array): number | null {
  if (body.length !== COUNTER_BYTES) return null
  const counter = Number(new DataView(body.buffer, body.byteOffset, COUNTER_BYTES).getBigUint64(0))
  return Number.isSafeInteger(counter) ? counter : null
}

export interface Unsealed {
  readonly type: MessageType
  readonly counter: number
  readonly body: Uint8Array
}

/** `null` for anything that was not sealed under this key. */
export function unseal(key: Uint8Array, message: Uint8Array): Unsealed | null {
  const type = message[0] ?? 0
  if (message.length < SEALED_HEAD_BYTES || message.length > MAX_MESSAGE_BYTES || !isSealedType(type)) return null
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength)
  const counter = Number(bytes.readBigUInt64BE(1))
  if (!Number.isSafeInteger(counter)) return null
  const mac = bytes.subarray(1 + COUNTER_BYTES, SEALED_HEAD_BYTES)
  if (!timingSafeEqual(mac, macOf(key, bytes).subarray(0, MAC_BYTES))) return null
  return { type, counter, body: message.subarray(SEALED_HEAD_BYTES) }
}

function isSealedType(type: number): type is MessageType {
  return type >= messageTypes.hello && type <= messageTypes.confirm
}

/** Over everything but the place of the code itself. */
function macOf(key: Uint8Array, message: Uint8Array): Buffer {
  return createHmac(HASH, readyKey(key))
    .update(message.subarray(0, 1 + COUNTER_BYTES))
    .update(message.subarray(SEALED_HEAD_BYTES))
    .digest()
}

/** Links use a key for every message: a raw one would be made a KeyObject each time, for thrice the price of the code. */
const readyKeys = new WeakMap<Uint8Array, KeyObject>()

function readyKey(key: Uint8Array): KeyObject {
  const known = readyKeys.get(key)
  if (known !== undefined) return known
  const ready = createSecretKey(key)
  readyKeys.set(key, ready)
  return ready
}
