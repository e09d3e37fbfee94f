/**
 * Multicast DNS messages by which nodes of one LAN find each other (NZ-DISCOVERY-01 §9): a question for the service
 * name, and answers that carry a signed peer record as TXT. Reads what it needs of any DNS message, bounded.
 */
import { MAX_RECORD_BYTES } from './limits.ts'

export const LAN_GROUP = '224.0.0.251'
export const LAN_PORT = 5_353
export const MAX_DATAGRAM_BYTES = 9_000
/** Seconds an answer is good for. */
const ANSWER_TTL_S = 120
const SERVICE: readonly string[] = ['_nzcore', '_udp', 'local']
const MAX_SECTION = 64
const MAX_LABELS = 16
const HEADER_BYTES = 12
const TXT_STRING_BYTES = 255
const TYPE_TXT = 16
const TYPE_PTR = 12
const CLASS_IN = 1

export type LanMessage =
  | { readonly kind: 'question' }
  /** Peer records, not verified. */
  | { readonly kind: 'answer'; readonly records: readonly Uint8Array[] }
  /** Of another protocol, or none. */
  | { readonly kind: 'other' }

export function encodeQuestion(): Uint8Array {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt16BE(1, 4)
  return Buffer.concat([header, nameBytes(SERVICE), u16(TYPE_PTR), u16(CLASS_IN)])
}

/** `label`: tells one node of the LAN from another; at most 63 characters. */
export function encodeAnswer(label: string, record: Uint8Array): Uint8Array {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt16BE(0x8400, 2)
  header.writeUInt16BE(1, 6)
  const strings: Uint8Array[] = []
  for (let at = 0; at < record.byteLength; at += TXT_STRING_BYTES) {
    const part = record.subarray(at, at + TXT_STRING_BYTES)
    strings.push(Uint8Array.of(part.byteLength), part)
  }
  const data = Buffer.concat(strings)
  const ttl = Buffer.alloc(4)
  ttl.writeUInt32BE(ANSWER_TTL_S)
  return Buffer.concat([
    header,
    nameBytes([label, ...SERVICE]),
    u16(TYPE_TXT),
    u16(CLASS_IN),
    ttl,
    u16(data.length),
    data,
  ])
}

/** Never throws. */
export function decodeLan(bytes: Uint8Array): LanMessage {
  if (bytes.byteLength < HEADER_BYTES || bytes.byteLength > MAX_DATAGRAM_BYTES) return { kind: 'other' }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const isAnswer = (view.getUint16(2) & 0x8000) !== 0
  const [questions, answers] = [view.getUint16(4), view.getUint16(6)]
  if (questions > MAX_SECTION || answers > MAX_SECTION) return { kind: 'other' }
  const reader = new Reader(bytes, view)
  for (let n = 0; n < questions; n++) {
    const name = reader.name()
    const type = reader.u16()
    if (name === null || type === null || reader.u16() === null) return { kind: 'other' }
    if (!isAnswer && type === TYPE_PTR && isService(name)) return { kind: 'question' }
  }
  if (!isAnswer) return { kind: 'other' }
  const records: Uint8Array[] = []
  for (let n = 0; n < answers; n++) {
    const found = reader.resource()
    if (found === null) break
    if (found.type === TYPE_TXT && found.name.length === SERVICE.length + 1 && isService(found.name.slice(1))) {
      const record = joined(found.data)
      if (record !== null) records.push(record)
    }
  }
  return records.length === 0 ? { kind: 'other' } : { kind: 'answer', records }
}

class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = HEADER_BYTES

  constructor(bytes: Uint8Array, view: DataView) {
    this.#bytes = bytes
    this.#view = view
  }

  u16(): number | null {
    if (this.#at + 2 > this.#bytes.byteLength) return null
    this.#at += 2
    return this.#view.getUint16(this.#at - 2)
  }

  /** A compressed name, which nodes do not send, ends with a label that is none: it equals nothing. */
  name(): readonly string[] | null {
    const labels: string[] = []
    while (labels.length <= MAX_LABELS) {
      const length = this.#bytes[this.#at]
      if (length === undefined) return null
      if (length >= 0xc0) {
        this.#at += 2
        return this.#at > this.#bytes.byteLength ? null : [...labels, '']
      }
      this.#at += 1
      if (length === 0) return labels
      if (length > 63 || this.#at + length > this.#bytes.byteLength) return null
      labels.push(
        Buffer.from(this.#bytes.subarray(this.#at, this.#at + length))
          .toString('latin1')
          .toLowerCase(),
      )
      this.#at += length
    }
    return null
  }

  resource(): { readonly name: readonly string[]; readonly type: number; readonly data: Uint8Array } | null {
    const name = this.name()
    const type = this.u16()
    if (name === null || type === null || this.u16() === null) return null
    if (this.u16() === null || this.u16() === null) return null
    const length = this.u16()
    if (length === null || this.#at + length > this.#bytes.byteLength) return null
    this.#at += length
    return { name, type, data: this.#bytes.subarray(this.#at - length, this.#at) }
  }
}

/** The strings of a TXT record as one; `null` when they are not, or too large for a record. */
function joined(data: Uint8Array): Uint8Array | null {
  const parts: Uint8Array[] = []
  let total = 0
  for (let at = 0; at < data.byteLength;) {
    const length = data[at] ?? 0
    if (length === 0 || at + 1 + length > data.byteLength) return null
    parts.push(data.subarray(at + 1, at + 1 + length))
    total += length
    if (total > MAX_RECORD_BYTES) return null
    at += 1 + length
  }
  return total === 0 ? null : new Uint8Array(Buffer.concat(parts))
}

function isService(name: readonly string[]): boolean {
  return name.length === SERVICE.length && name.every((label, at) => label === SERVICE[at])
}

function nameBytes(labels: readonly string[]): Uint8Array {
  const parts = labels.map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label, 'latin1')]))
  return Buffer.concat([...parts, Buffer.from([0])])
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff)
}
