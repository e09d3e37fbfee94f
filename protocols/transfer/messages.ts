/**
 * Control messages of the transfer stream: deterministic CBOR maps, checked strictly when decoded.
 * spec/NZ-TRANSFER-01 §3.
 */
import { decode, encode, rfc8949EncodeOptions } from 'cborg'
import { MAX_CONTROL_BYTES, MAX_OFFERED_NAME_BYTES, TRANSFER_ID_BYTES } from './limits.ts'
import { protocolError } from './errors.ts'

/** Why one side ends a transfer. Codes are part of the protocol; unknown ones read as `failed`. */
export const stopCodes = [
  'not-contact',
  'not-receiving',
  'busy',
  'too-large',
  'no-space',
  'storage-failed',
  'hash-mismatch',
  'consumer-gone',
  'source-failed',
  'cannot-resume',
  'cancelled',
  'shutting-down',
  'protocol',
  'failed',
] as const

export type StopCode = (typeof stopCodes)[number]

/** Sender → receiver, first on each stream. */
export interface Offer {
  readonly type: 'offer'
  /** 16 random bytes; the same again when the transfer goes on over a new stream. */
  readonly id: Uint8Array
  /** As the sender calls it; untrusted. */
  readonly name: string
  /** Bytes in all; `null` when the sender cannot know. */
  readonly size: number | null
  /** 16 bytes that are the same when the same unchanged file is sent again; `null` for what has no identity. */
  readonly token: Uint8Array | null
}

/** Receiver → sender: what it holds already. */
export interface Accept {
  readonly type: 'accept'
  readonly offset: number
  /** SHA-256 of the `offset` bytes it holds. */
  readonly sha256: Uint8Array
}

/** Sender → receiver: data follows from here; at most the offset of `accept`. */
export interface Begin {
  readonly type: 'begin'
  readonly offset: number
}

/** Receiver → sender: every byte before `offset` is durable (a file) or was taken by its consumer (a stream). */
export interface Ack {
  readonly type: 'ack'
  readonly offset: number
}

/** Sender → receiver: no data follows. */
export interface End {
  readonly type: 'end'
  readonly size: number
  readonly sha256: Uint8Array
}

/** Receiver → sender, last: everything is in its place under its final name. */
export interface ReceiptMessage {
  readonly type: 'receipt'
  /** CBOR of receipt.ts, at most 2 KiB. */
  readonly body: Uint8Array
  readonly signature: Uint8Array
}

/** Either direction: the transfer is over. */
export interface Stop {
  readonly type: 'stop'
  readonly code: StopCode
}

/** Either direction: nothing to send, still here. */
export interface Alive {
  readonly type: 'alive'
}

export type ControlMessage = Alive | Offer | Accept | Begin | Ack | End | ReceiptMessage | Stop

export const frameTypes = {
  alive: 0,
  offer: 1,
  accept: 2,
  begin: 3,
  data: 4,
  ack: 5,
  end: 6,
  receipt: 7,
  stop: 8,
} as const satisfies Record<ControlMessage['type'] | 'data', number>

const SHA256_BYTES = 32
const SIGNATURE_BYTES = 64
const MAX_RECEIPT_BODY_BYTES = 2_048

/** Payload of a control frame, at most `MAX_CONTROL_BYTES`. */
export function encodeMessage(message: ControlMessage): Uint8Array {
  if (message.type === 'alive') return new Uint8Array(0)
  const { type: _, ...fields } = message
  return encode(fields, rfc8949EncodeOptions)
}

/** @throws NZ_TRANSFER_PROTOCOL for bytes that are not the one encoding of a valid message of `type` */
export function decodeMessage(type: number, payload: Uint8Array): ControlMessage {
  if (payload.byteLength > MAX_CONTROL_BYTES) throw protocolError('control frame too large')
  if (type === frameTypes.alive) {
    if (payload.byteLength > 0) throw protocolError('alive frame with a payload')
    return { type: 'alive' }
  }
  const message = parse(type, decodeFields(payload))
  if (message.type !== 'stop' && !isSame(encodeMessage(message), payload)) throw protocolError('encoding not canonical')
  return message
}

function parse(type: number, fields: Fields): ControlMessage {
  switch (type) {
    case frameTypes.offer:
      return {
        type: 'offer',
        id: bytes(fields, 'id', TRANSFER_ID_BYTES),
        name: offeredName(fields),
        size: fields['size'] === null ? null : count(fields, 'size'),
        token: fields['token'] === null ? null : bytes(fields, 'token', TRANSFER_ID_BYTES),
      }
    case frameTypes.accept:
      return { type: 'accept', offset: count(fields, 'offset'), sha256: bytes(fields, 'sha256', SHA256_BYTES) }
    case frameTypes.begin:
      return { type: 'begin', offset: count(fields, 'offset') }
    case frameTypes.ack:
      return { type: 'ack', offset: count(fields, 'offset') }
    case frameTypes.end:
      return { type: 'end', size: count(fields, 'size'), sha256: bytes(fields, 'sha256', SHA256_BYTES) }
    case frameTypes.receipt:
      return {
        type: 'receipt',
        body: bytes(fields, 'body', 1, MAX_RECEIPT_BODY_BYTES),
        signature: bytes(fields, 'signature', SIGNATURE_BYTES),
      }
    case frameTypes.stop:
      return { type: 'stop', code: stopCodes.find((code) => code === fields['code']) ?? 'failed' }
    default:
      throw protocolError('unknown frame type')
  }
}

type Fields = Readonly<Record<string, unknown>>

function decodeFields(payload: Uint8Array): Fields {
  let value: unknown
  try {
    value = decode(payload, {
      strict: true,
      allowIndefinite: false,
      allowUndefined: false,
      allowNaN: false,
      allowInfinity: false,
      rejectDuplicateMapKeys: true,
    })
  } catch (error) {
    throw Object.assign(protocolError('control frame is not CBOR'), { cause: error })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) {
    throw protocolError('control frame is not a map')
  }
  return value as Fields
}

function bytes(fields: Fields, key: string, minimum: number, maximum = minimum): Uint8Array {
  const value = fields[key]
  if (!(value instanceof Uint8Array) || value.byteLength < minimum || value.byteLength > maximum) {
    throw protocolError(`${key} is not ${minimum} to ${maximum} bytes`)
  }
  return value
}

function count(fields: Fields, key: string): number {
  const value = fields[key]
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw protocolError(`${key} is no count`)
  return value
}

function offeredName(fields: Fields): string {
  const { name } = fields
  if (typeof name !== 'string' || name.length === 0 || Buffer.byteLength(name) > MAX_OFFERED_NAME_BYTES) {
    throw protocolError('name is empty or too long')
  }
  return name
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0
}
