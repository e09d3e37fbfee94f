/** Signed receipts: the receiver's word that a whole transfer arrived. spec/NZ-TRANSFER-01 §6. */
import { createHash } from 'node:crypto'
import { base32crockford, base58 } from '@scure/base'
import { decode, encode, rfc8949EncodeOptions } from 'cborg'
import { z } from 'zod'
import { MAX_OFFERED_NAME_BYTES, TRANSFER_ID_BYTES } from './limits.ts'

const bytesOf = (length: number): z.ZodType<Uint8Array> =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.byteLength === length)

const ReceiptBody = z.strictObject({
  v: z.literal(1),
  transfer: bytesOf(TRANSFER_ID_BYTES),
  /** libp2p peer ids, base58btc. */
  sender: z.string().max(128),
  receiver: z.string().max(128),
  /** As offered. */
  name: z.string().max(MAX_OFFERED_NAME_BYTES),
  size: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  sha256: bytesOf(32),
  /** Receiver's wall clock, milliseconds since 1970. */
  atMs: z.number().int().min(0),
})

/** What a receipt says. */
export type ReceiptBody = z.infer<typeof ReceiptBody>

/** The facts the sender compares with; the time is the receiver's word. */
export type ReceiptFacts = Omit<ReceiptBody, 'v' | 'atMs'>

export type VerifySignature = (message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array) => boolean

/** The bytes to sign with the receiver's node key for `RECEIPT_PURPOSE`. */
export function encodeReceipt(facts: ReceiptFacts, atMs: number): Uint8Array {
  return encode({ v: 1, ...facts, atMs }, rfc8949EncodeOptions)
}

/** What the receipt says, or `null` unless it is whole, canonical and signed by the key inside its receiver's peer id. */
export function openReceipt(body: Uint8Array, signature: Uint8Array, verify: VerifySignature): ReceiptBody | null {
  const parsed = parseReceipt(body)
  if (parsed === null) return null
  const publicKey = nodeKeyOf(parsed.receiver)
  if (publicKey === null || !verify(body, signature, publicKey)) return null
  return parsed
}

/** Whether the receipt is about exactly this transfer. */
export function isReceiptFor(body: ReceiptBody, facts: ReceiptFacts): boolean {
  return Buffer.compare(encodeReceipt(facts, body.atMs), encode(body, rfc8949EncodeOptions)) === 0
}

/** `rcp_` and 16 characters that name this receipt: 80 bits of SHA-256 over body and signature. */
export function receiptId(body: Uint8Array, signature: Uint8Array): string {
  const digest = createHash('sha256').update(body).update(signature).digest()
  return `rcp_${base32crockford.encode(new Uint8Array(digest.subarray(0, 10))).toLowerCase()}`
}

const IDENTITY_MULTIHASH_ED25519 = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20)

/** The Ed25519 public key inside a peer id (`12D3Koo…`); `null` when it is no such peer id. */
export function nodeKeyOf(peerId: string): Uint8Array | null {
  if (peerId.length > 64) return null
  let bytes: Uint8Array
  try {
    bytes = base58.decode(peerId)
  } catch {
    return null // Not base58: the caller's answer is the same for every malformed id.
  }
  const prefix = IDENTITY_MULTIHASH_ED25519
  if (bytes.byteLength !== prefix.byteLength + 32) return null
  if (Buffer.compare(bytes.subarray(0, prefix.byteLength), prefix) !== 0) return null
  return bytes.slice(prefix.byteLength)
}

function parseReceipt(body: Uint8Array): ReceiptBody | null {
  try {
    const value: unknown = decode(body, { strict: true, allowIndefinite: false, rejectDuplicateMapKeys: true })
    const { data } = ReceiptBody.safeParse(value)
    if (data === undefined || Buffer.compare(encode(data, rfc8949EncodeOptions), body) !== 0) return null
    return data
  } catch {
    return null // Not CBOR: the same answer as for a receipt that says something else.
  }
}
