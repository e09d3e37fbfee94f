/**
 * The payload that libp2p sends inside the Noise handshake: who owns the static key, and which muxers it offers
 * (https://github.com/libp2p/specs/blob/master/noise/README.md, "The libp2p Handshake Payload"; protocol buffers,
 * unknown fields are skipped).
 */
import { noiseErrors } from './errors.ts'

/** What the signature covers before the static key. */
export const SIGNATURE_PREFIX = 'noise-libp2p-static-key:'
/** Muxers and certificate hashes a payload may name. */
export const MAX_EXTENSION_ENTRIES = 32
const MAX_MUXER_NAME_BYTES = 128

export interface HandshakePayload {
  /** A libp2p `PublicKey` message. */
  readonly identityKey: Uint8Array
  readonly identitySignature: Uint8Array
  readonly streamMuxers: readonly string[]
}

const FIELD = { identityKey: 1, identitySignature: 2, extensions: 4 } as const
const STREAM_MUXERS_FIELD = 2
const LENGTH_DELIMITED = 2

export function encodePayload({ identityKey, identitySignature, streamMuxers }: HandshakePayload): Uint8Array {
  const extensions = Buffer.concat(streamMuxers.map((name) => field(STREAM_MUXERS_FIELD, Buffer.from(name, 'utf8'))))
  return Buffer.concat([
    field(FIELD.identityKey, identityKey),
    field(FIELD.identitySignature, identitySignature),
    ...(extensions.byteLength === 0 ? [] : [field(FIELD.extensions, extensions)]),
  ])
}

/** @throws NZ_NOISE_MALFORMED */
export function decodePayload(bytes: Uint8Array): HandshakePayload {
  let identityKey: Uint8Array | null = null
  let identitySignature: Uint8Array | null = null
  let streamMuxers: readonly string[] = []
  for (const { number, value } of fields(bytes)) {
    if (number === FIELD.identityKey) identityKey = value
    else if (number === FIELD.identitySignature) identitySignature = value
    else if (number === FIELD.extensions) streamMuxers = decodeMuxers(value)
  }
  if (identityKey === null || identitySignature === null) {
    throw noiseErrors.NZ_NOISE_MALFORMED({ why: 'the payload does not say who the peer is' })
  }
  return { identityKey, identitySignature, streamMuxers }
}

function decodeMuxers(extensions: Uint8Array): readonly string[] {
  const names: string[] = []
  let entries = 0
  for (const { number, value } of fields(extensions)) {
    entries += 1
    if (entries > MAX_EXTENSION_ENTRIES) throw noiseErrors.NZ_NOISE_MALFORMED({ why: 'it has too many extensions' })
    if (number !== STREAM_MUXERS_FIELD) continue
    if (value.byteLength > MAX_MUXER_NAME_BYTES)
      throw noiseErrors.NZ_NOISE_MALFORMED({ why: 'a muxer name is too long' })
    names.push(Buffer.from(value).toString('utf8'))
  }
  return names
}

function field(number: number, value: Uint8Array): Uint8Array {
  const length = [value.byteLength & 0x7f]
  for (let rest = value.byteLength >>> 7; rest > 0; rest >>>= 7) {
    length[length.length - 1] = (length.at(-1) ?? 0) | 0x80
    length.push(rest & 0x7f)
  }
  return Buffer.concat([Uint8Array.of((number << 3) | LENGTH_DELIMITED, ...length), value])
}

/** The length-delimited fields of a message; others are skipped. */
function* fields(bytes: Uint8Array): Generator<{ readonly number: number; readonly value: Uint8Array }> {
  let offset = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = bytes[offset]
      if (byte === undefined) throw noiseErrors.NZ_NOISE_MALFORMED({ why: 'the payload is cut short' })
      offset += 1
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    throw noiseErrors.NZ_NOISE_MALFORMED({ why: 'a number in the payload is too large' })
  }
  while (offset < bytes.byteLength) {
    const tag = varint()
    const wireType = tag & 7
    const length = wireType === LENGTH_DELIMITED ? varint() : skipLength(wireType, varint)
    if (offset + length > bytes.byteLength) throw noiseErrors.NZ_NOISE_MALFORMED({ why: 'the payload is cut short' })
    const value = bytes.subarray(offset, offset + length)
    offset += length
    if (wireType === LENGTH_DELIMITED) yield { number: tag >>> 3, value }
  }
}

/** How many more bytes a field of another wire type has (0 varint, 1 fixed64, 5 fixed32). */
function skipLength(wireType: number, varint: () => number): number {
  if (wireType === 0) {
    varint()
    return 0
  }
  if (wireType === 1) return 8
  if (wireType === 5) return 4
  throw noiseErrors.NZ_NOISE_MALFORMED({ why: 'a field of the payload has an unknown type' })
}
