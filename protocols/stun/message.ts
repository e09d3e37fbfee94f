/**
 * STUN messages (RFC 8489) with the attributes by which a NAT's behaviour is found out (RFC 5780): under which address a
 * datagram arrived, where the server has its other sockets, and the wish to be answered from there. Pure.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** Largest message read: what fits a datagram on any path (§6.1), and room. */
export const MAX_MESSAGE_BYTES = 1_280
/** Attributes read of one message; more make it none. */
export const MAX_ATTRIBUTES = 32
export const TRANSACTION_BYTES = 12
const HEADER_BYTES = 20
const COOKIE = 0x2112_a442
const FINGERPRINT_MASK = 0x5354_554e

export const TYPE = { request: 0x0001, success: 0x0101, failure: 0x0111 } as const
export const ATTRIBUTE = {
  mappedAddress: 0x0001,
  changeRequest: 0x0003,
  username: 0x0006,
  messageIntegrity: 0x0008,
  errorCode: 0x0009,
  xorMappedAddress: 0x0020,
  software: 0x8022,
  fingerprint: 0x8028,
  responseOrigin: 0x802b,
  otherAddress: 0x802c,
} as const

export interface Endpoint {
  readonly host: string
  readonly port: number
}

export interface Attribute {
  readonly type: number
  readonly value: Uint8Array
}

export interface StunMessage {
  readonly type: number
  /** TRANSACTION_BYTES of them. */
  readonly transaction: Uint8Array
  readonly attributes: readonly Attribute[]
}

/** Ends with a fingerprint. @throws RangeError beyond MAX_MESSAGE_BYTES */
export function encodeStun({ type, transaction, attributes }: StunMessage): Uint8Array {
  const parts = attributes.map(({ type: kind, value }) => {
    const part = Buffer.alloc(4 + padded(value.length))
    part.writeUInt16BE(kind, 0)
    part.writeUInt16BE(value.length, 2)
    part.set(value, 4)
    return part
  })
  const length = parts.reduce((sum, part) => sum + part.length, 0) + 8
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt16BE(type, 0)
  header.writeUInt16BE(length, 2)
  header.writeUInt32BE(COOKIE, 4)
  header.set(transaction.subarray(0, TRANSACTION_BYTES), 8)
  const body = Buffer.concat([header, ...parts])
  const end = Buffer.alloc(8)
  end.writeUInt16BE(ATTRIBUTE.fingerprint, 0)
  end.writeUInt16BE(4, 2)
  end.writeUInt32BE((crc32(body) ^ FINGERPRINT_MASK) >>> 0, 4)
  const whole = new Uint8Array(Buffer.concat([body, end]))
  if (whole.length > MAX_MESSAGE_BYTES) throw new RangeError(`message of ${whole.length} bytes`)
  return whole
}

/** `null` for what is no STUN message, is cut, or has a fingerprint that is not its own. */
export function decodeStun(bytes: Uint8Array): StunMessage | null {
  if (bytes.length < HEADER_BYTES || bytes.length > MAX_MESSAGE_BYTES || bytes.length % 4 !== 0) return null
  const view = viewOf(bytes)
  const type = view.getUint16(0)
  if (type >= 0x4000 || view.getUint32(4) !== COOKIE || view.getUint16(2) !== bytes.length - HEADER_BYTES) return null
  const attributes: Attribute[] = []
  for (let at = HEADER_BYTES; at < bytes.length;) {
    const length = at + 4 > bytes.length ? Infinity : view.getUint16(at + 2)
    if (at + 4 + padded(length) > bytes.length || attributes.length === MAX_ATTRIBUTES) return null
    const kind = view.getUint16(at)
    if (kind === ATTRIBUTE.fingerprint) {
      const isLast = at + 8 === bytes.length && length === 4
      const sum = isLast ? (crc32(bytes.subarray(0, at)) ^ FINGERPRINT_MASK) >>> 0 : -1
      if (view.getUint32(at + 4) !== sum) return null
    }
    attributes.push({ type: kind, value: bytes.slice(at + 4, at + 4 + length) })
    at += 4 + padded(length)
  }
  return { type, transaction: bytes.slice(8, HEADER_BYTES), attributes }
}

/** Whether the message was made by somebody with the key, all before its MESSAGE-INTEGRITY unchanged (§14.5). */
export function hasIntegrity(bytes: Uint8Array, key: Uint8Array): boolean {
  const message = decodeStun(bytes)
  if (message === null) return false
  const view = viewOf(bytes)
  for (let at = HEADER_BYTES; at < bytes.length; at += 4 + padded(view.getUint16(at + 2))) {
    if (view.getUint16(at) !== ATTRIBUTE.messageIntegrity || view.getUint16(at + 2) !== 20) continue
    // The length is that of a message which ends with this attribute.
    const signed = Buffer.from(bytes.subarray(0, at))
    signed.writeUInt16BE(at + 24 - HEADER_BYTES, 2)
    return timingSafeEqual(createHmac('sha1', key).update(signed).digest(), bytes.subarray(at + 4, at + 24))
  }
  return false
}

/** The first attribute of that type. */
export function valueOf({ attributes }: StunMessage, type: number): Uint8Array | undefined {
  return attributes.find((attribute) => attribute.type === type)?.value
}

/** Under which address the other side saw the request; `null` when it does not say. */
export function mappedAddressOf(message: StunMessage): Endpoint | null {
  const hidden = valueOf(message, ATTRIBUTE.xorMappedAddress)
  if (hidden !== undefined) return endpointOf(unmasked(hidden, message.transaction))
  const plain = valueOf(message, ATTRIBUTE.mappedAddress)
  return plain === undefined ? null : endpointOf(plain)
}

/** Of attributes that hold an address as it is; `null` for what is none. */
export function endpointOf(value: Uint8Array): Endpoint | null {
  const family = value[1]
  const port = value.length < 4 ? 0 : viewOf(value).getUint16(2)
  if (family === 1 && value.length === 8) return { host: value.subarray(4).join('.'), port }
  if (family !== 2 || value.length !== 20) return null
  const groups = Array.from({ length: 8 }, (_group, at) =>
    viewOf(value)
      .getUint16(4 + 2 * at)
      .toString(16),
  )
  return { host: groups.join(':'), port }
}

/** IPv4 only: what this node's servers and tests speak. */
export function addressValue({ host, port }: Endpoint): Uint8Array {
  return Uint8Array.from([0, 1, port >> 8, port & 0xff, ...host.split('.').map(Number)])
}

export function xorAddressValue(endpoint: Endpoint, transaction: Uint8Array): Uint8Array {
  return unmasked(addressValue(endpoint), transaction)
}

/** RFC 5780 §7.2. */
export function changeRequest({ host, port }: { readonly host: boolean; readonly port: boolean }): Attribute {
  return { type: ATTRIBUTE.changeRequest, value: Uint8Array.of(0, 0, 0, (host ? 4 : 0) | (port ? 2 : 0)) }
}

/** Port and address are hidden by the cookie and the transaction: some routers change what looks like an address. */
function unmasked(value: Uint8Array, transaction: Uint8Array): Uint8Array {
  const mask = [COOKIE >>> 24, (COOKIE >>> 16) & 0xff, (COOKIE >>> 8) & 0xff, COOKIE & 0xff, ...transaction]
  return value.map((byte, at) => (at < 2 ? byte : byte ^ (at < 4 ? (mask[at - 2] ?? 0) : (mask[at - 4] ?? 0))))
}

function padded(length: number): number {
  return (length + 3) & ~3
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
