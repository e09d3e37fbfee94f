/**
 * Protocol buffers as the circuit relay, hole punching and AutoNAT protocols of libp2p use them: messages of numbers and
 * byte strings, each behind its length. Pure; every size is bounded before anything is kept.
 */

/** Of one message; the specifications of both protocols name it. */
export const MAX_MESSAGE_BYTES = 4_096
/** Fields of one message: more than any honest one has. */
export const MAX_FIELDS = 64
const MAX_VARINT_BYTES = 10

export type Field =
  | { readonly number: number; readonly value: bigint }
  | { readonly number: number; readonly bytes: Uint8Array }
  /** Eight bytes, least first. */
  | { readonly number: number; readonly fixed: bigint }

/** The fields in their order, those of unknown number too; `null` for anything else than fields of these kinds. */
export function readFields(message: Uint8Array): readonly Field[] | null {
  const fields: Field[] = []
  let at = 0
  while (at < message.length) {
    const key = readVarint(message, at)
    if (key === null || key.value > 0xffff_ffffn || fields.length === MAX_FIELDS) return null
    const number = Number(key.value >> 3n)
    if ((key.value & 7n) === 1n && number > 0 && message.length - key.end >= 8) {
      at = key.end + 8
      fields.push({ number, fixed: viewOf(message).getBigUint64(key.end, true) })
      continue
    }
    const next = readVarint(message, key.end)
    if (number === 0 || next === null) return null
    if ((key.value & 7n) === 0n) {
      fields.push({ number, value: next.value })
      at = next.end
      continue
    }
    if ((key.value & 7n) !== 2n || next.value > BigInt(message.length - next.end)) return null
    at = next.end + Number(next.value)
    fields.push({ number, bytes: message.slice(next.end, at) })
  }
  return fields
}

/** The last number given for the field, as protocol buffers want it. */
export function numberOf(fields: readonly Field[], number: number): bigint | undefined {
  const found = fields.findLast((field) => field.number === number && 'value' in field)
  return found !== undefined && 'value' in found ? found.value : undefined
}

/** The last eight bytes given for the field. */
export function fixedOf(fields: readonly Field[], number: number): bigint | undefined {
  const found = fields.findLast((field) => field.number === number && 'fixed' in field)
  return found !== undefined && 'fixed' in found ? found.fixed : undefined
}

export function bytesOf(fields: readonly Field[], number: number): readonly Uint8Array[] {
  return fields.flatMap((field) => (field.number === number && 'bytes' in field ? [field.bytes] : []))
}

/** @throws RangeError when the message would be longer than MAX_MESSAGE_BYTES: the caller bounds what it says */
export function writeFields(fields: readonly Field[]): Uint8Array {
  const parts: Uint8Array[] = []
  for (const field of fields) {
    const key = BigInt(field.number) << 3n
    if ('value' in field) parts.push(writeVarint(key), writeVarint(field.value))
    else if ('fixed' in field) parts.push(writeVarint(key | 1n), fixedBytes(field.fixed))
    else parts.push(writeVarint(key | 2n), writeVarint(BigInt(field.bytes.length)), field.bytes)
  }
  const message = joined(parts)
  if (message.length > MAX_MESSAGE_BYTES) throw new RangeError(`message of ${message.length} bytes`)
  return message
}

/** A message behind its length, as it goes over a stream. */
export function delimited(message: Uint8Array): Uint8Array {
  return joined([writeVarint(BigInt(message.length)), message])
}

export type NextMessage =
  | { readonly state: 'message'; readonly message: Uint8Array }
  | { readonly state: 'incomplete' }
  /** Too long, or no length at all; nothing after it can be read. */
  | { readonly state: 'invalid' }

/** Cuts the bytes of a stream into messages; holds less than one message and what came in the same chunk after it. */
export class DelimitedMessages {
  #pending: Uint8Array = new Uint8Array()

  push(bytes: Uint8Array): void {
    this.#pending = joined([this.#pending, bytes])
  }

  next(): NextMessage {
    const length = readVarint(this.#pending, 0)
    if (length === null) return { state: this.#pending.length >= MAX_VARINT_BYTES ? 'invalid' : 'incomplete' }
    if (length.value > BigInt(MAX_MESSAGE_BYTES)) return { state: 'invalid' }
    const end = length.end + Number(length.value)
    if (this.#pending.length < end) return { state: 'incomplete' }
    const message = this.#pending.slice(length.end, end)
    this.#pending = this.#pending.slice(end)
    return { state: 'message', message }
  }

  /** What came after the last message. */
  rest(): Uint8Array {
    const rest = this.#pending
    this.#pending = new Uint8Array()
    return rest
  }
}

/** `null` when it does not end within the bytes, or is longer than 64 bits. */
function readVarint(bytes: Uint8Array, start: number): { readonly value: bigint; readonly end: number } | null {
  let value = 0n
  for (let at = 0; at < MAX_VARINT_BYTES; at += 1) {
    const byte = bytes[start + at]
    if (byte === undefined) return null
    value |= BigInt(byte & 0x7f) << BigInt(7 * at)
    if (byte < 0x80) return value > 0xffff_ffff_ffff_ffffn ? null : { value, end: start + at + 1 }
  }
  return null
}

function writeVarint(value: bigint): Uint8Array {
  const bytes: number[] = []
  let left = value
  while (left >= 0x80n) {
    bytes.push(Number(left & 0x7fn) | 0x80)
    left >>= 7n
  }
  bytes.push(Number(left))
  return Uint8Array.from(bytes)
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function fixedBytes(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8)
  viewOf(bytes).setBigUint64(0, value, true)
  return bytes
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
