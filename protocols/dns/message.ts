/**
 * DNS messages (RFC 1035 §4) as far as finding nodes needs them: one question; answers of TXT, SRV, A, AAAA and CNAME.
 * Pure; every count and length is bounded before anything is kept.
 */

export const TYPE = { a: 1, cname: 5, txt: 16, aaaa: 28, srv: 33 } as const
export type RecordType = (typeof TYPE)[keyof typeof TYPE]

/** Of one answer, over any transport. */
export const MAX_MESSAGE_BYTES = 65_535
/** Answers read of one message; what comes after them is passed over. */
export const MAX_ANSWERS = 64
/** Of one TXT record, all its strings together. */
export const MAX_TXT_BYTES = 1_024
/** What UDP may bring (RFC 9715 §3.1): less than any path cuts. */
export const UDP_BYTES = 1_232
const HEADER_BYTES = 12
const MAX_NAME_BYTES = 253
const MAX_JUMPS = 16
const CLASS_IN = 1
const TYPE_OPT = 41
const FLAG = { response: 0x8000, truncated: 0x0200, recursionDesired: 0x0100, authenticated: 0x0020 } as const

export interface Question {
  readonly id: number
  readonly name: string
  readonly type: RecordType
}

export type Resource =
  | { readonly type: 'a' | 'aaaa'; readonly name: string; readonly address: string }
  | { readonly type: 'cname'; readonly name: string; readonly target: string }
  | { readonly type: 'txt'; readonly name: string; readonly text: string }
  | {
      readonly type: 'srv'
      readonly name: string
      readonly priority: number
      readonly weight: number
      readonly port: number
      readonly target: string
    }

export interface Answer {
  readonly id: number
  /** RFC 1035 §4.1.1: 0 no error, 3 no such name. */
  readonly code: number
  readonly isTruncated: boolean
  /** Whether the resolver says that it has checked all of this by DNSSEC (RFC 4035 §3.2.3). */
  readonly isAuthenticated: boolean
  readonly name: string
  readonly type: number
  readonly resources: readonly Resource[]
}

/** A name as it is compared: lower case, without the dot at its end; `null` for what is none. */
export function canonicalName(text: string): string | null {
  const name = text.replace(/\.$/, '').toLowerCase()
  const isName = name.length <= MAX_NAME_BYTES && name.split('.').every((label) => /^[a-z0-9_-]{1,63}$/.test(label))
  return isName ? name : null
}

/** With the wish to be told whether the answer is authentic (RFC 6840 §5.7). @throws RangeError for what is no name */
export function encodeQuestion({ id, name, type }: Question): Uint8Array {
  const canonical = canonicalName(name)
  if (canonical === null) throw new RangeError('not a name')
  const labels = canonical
    .split('.')
    .map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`, 'latin1'))
  const header = words(id, FLAG.recursionDesired | FLAG.authenticated, 1, 0, 0, 1)
  // The option record has the root for its name, and the size that UDP may bring for its class.
  const option = [Uint8Array.of(0), words(TYPE_OPT, UDP_BYTES, 0, 0, 0)]
  return new Uint8Array(Buffer.concat([header, ...labels, Uint8Array.of(0), words(type, CLASS_IN), ...option]))
}

/** `null` for what is no answer to one question. Records of other kinds, and broken ones, are passed over. */
export function decodeAnswer(bytes: Uint8Array): Answer | null {
  if (bytes.length < HEADER_BYTES || bytes.length > MAX_MESSAGE_BYTES) return null
  const reader = new Reader(bytes)
  const [id, flags, questions, answers] = [reader.u16(), reader.u16(), reader.u16(), reader.u16()]
  reader.skip(4)
  if (((flags ?? 0) & FLAG.response) === 0 || questions !== 1) return null
  const name = reader.name()
  const type = reader.u16()
  if (id === null || flags === null || name === null || type === null || reader.u16() !== CLASS_IN) return null
  const resources: Resource[] = []
  for (let at = 0; at < Math.min(answers ?? 0, MAX_ANSWERS); at += 1) {
    const resource = reader.resource()
    if (resource === null) break
    if (resource !== 'other') resources.push(resource)
  }
  return {
    id,
    code: flags & 0xf,
    isTruncated: (flags & FLAG.truncated) !== 0,
    isAuthenticated: (flags & FLAG.authenticated) !== 0,
    name,
    type,
    resources,
  }
}

class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  skip(length: number): void {
    this.#at += length
  }

  u16(): number | null {
    if (this.#at + 2 > this.#bytes.length) return null
    this.#at += 2
    return this.#view.getUint16(this.#at - 2)
  }

  /** `null` for what ends outside, leads forward or around, is too long, or has characters no host name has. */
  name(): string | null {
    const labels: string[] = []
    let at = this.#at
    let isInPlace = true
    for (let jumps = 0, length = 0; jumps <= MAX_JUMPS && length <= MAX_NAME_BYTES;) {
      const size = this.#bytes[at]
      if (size === undefined) return null
      if (size === 0) {
        if (isInPlace) this.#at = at + 1
        return canonicalName(labels.join('.'))
      }
      if (size >= 0xc0) {
        const low = this.#bytes[at + 1]
        const target = ((size & 0x3f) << 8) | (low ?? 0)
        // Only ever towards the beginning, so that it cannot go round.
        if (low === undefined || target >= at) return null
        if (isInPlace) this.#at = at + 2
        isInPlace = false
        at = target
        jumps += 1
        continue
      }
      if (size > 63 || at + 1 + size > this.#bytes.length) return null
      labels.push(Buffer.from(this.#bytes.subarray(at + 1, at + 1 + size)).toString('latin1'))
      length += size + 1
      at += size + 1
    }
    return null
  }

  /** `null`: nothing after it can be read. */
  resource(): Resource | 'other' | null {
    const begin = this.#at
    const name = this.name()
    // A name of strange characters can be passed over; one whose end is not known cannot.
    if (name === null && (this.#at === begin || this.#at > this.#bytes.length)) return null
    const [type, kind] = [this.u16(), this.u16()]
    this.skip(4)
    const length = this.u16()
    if (type === null || kind === null || length === null || this.#at + length > this.#bytes.length) return null
    const end = this.#at + length
    const resource = name === null || kind !== CLASS_IN ? null : this.#data(name, type, end)
    this.#at = end
    return resource ?? 'other'
  }

  #data(name: string, type: number, end: number): Resource | null {
    const data = this.#bytes.subarray(this.#at, end)
    if (type === TYPE.a && data.length === 4) return { type: 'a', name, address: data.join('.') }
    if (type === TYPE.aaaa && data.length === 16) return { type: 'aaaa', name, address: ipv6Of(data) }
    if (type === TYPE.txt) {
      const text = textOf(data)
      return text === null ? null : { type: 'txt', name, text }
    }
    const numbers = type === TYPE.srv ? [this.u16(), this.u16(), this.u16()] : []
    if (type !== TYPE.srv && type !== TYPE.cname) return null
    const target = this.name()
    if (target === null || this.#at !== end) return null
    const [priority, weight, port] = numbers
    if (type === TYPE.cname) return { type: 'cname', name, target }
    if (priority == null || weight == null || port == null) return null
    return { type: 'srv', name, priority, weight, port, target }
  }
}

/** The strings of a TXT record as one; `null` when they are not, or too long. */
function textOf(data: Uint8Array): string | null {
  const parts: Uint8Array[] = []
  for (let at = 0; at < data.length;) {
    const size = data[at] ?? 0
    if (at + 1 + size > data.length) return null
    parts.push(data.subarray(at + 1, at + 1 + size))
    at += 1 + size
  }
  const whole = Buffer.concat(parts)
  return whole.length > MAX_TXT_BYTES ? null : whole.toString('latin1')
}

function ipv6Of(data: Uint8Array): string {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  return Array.from({ length: 8 }, (_group, at) => view.getUint16(2 * at).toString(16)).join(':')
}

function words(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values.flatMap((value) => [(value >> 8) & 0xff, value & 0xff]))
}
