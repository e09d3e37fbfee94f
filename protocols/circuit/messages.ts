/**
 * Messages of circuit relay v2 (libp2p/specs relay/circuit-v2.md) and of DCUtR (relay/DCUtR.md): what a node behind a
 * NAT and a relay say to each other, and two peers that are about to dial each other at the same time.
 */
import { bytesOf, numberOf, readFields, writeFields } from './fields.ts'
import type { Field } from './fields.ts'

/** Node to relay: reserve a place, or be connected to a peer that has one. */
export const HOP_PROTOCOL = '/libp2p/circuit/relay/0.2.0/hop'
/** Relay to node: somebody wants to speak to you. */
export const STOP_PROTOCOL = '/libp2p/circuit/relay/0.2.0/stop'
export const PUNCH_PROTOCOL = '/libp2p/dcutr'

/** Addresses taken from one message; what comes after them is passed over. */
export const MAX_ADDRESSES = 16
const MAX_ADDRESS_BYTES = 256
const MAX_PEER_ID_BYTES = 64

export const STATUS = {
  ok: 100,
  reservationRefused: 200,
  limitExceeded: 201,
  permissionDenied: 202,
  connectionFailed: 203,
  noReservation: 204,
  malformed: 400,
  unexpected: 401,
} as const

export type Status = (typeof STATUS)[keyof typeof STATUS]

/** What a relayed connection may cost; `null`: no bound. */
export interface CircuitLimit {
  readonly seconds: number | null
  readonly bytes: bigint | null
}

export interface Reservation {
  readonly expiresAtS: number
  /** Multiaddrs of the relay, binary. */
  readonly addresses: readonly Uint8Array[]
}

export type HopMessage =
  | { readonly type: 'reserve' }
  /** `peer` is the multihash of a peer id. */
  | { readonly type: 'connect'; readonly peer: Uint8Array }
  | {
      readonly type: 'status'
      readonly status: number
      readonly reservation: Reservation | null
      readonly limit: CircuitLimit | null
    }

export type StopMessage =
  | { readonly type: 'connect'; readonly peer: Uint8Array; readonly limit: CircuitLimit | null }
  | { readonly type: 'status'; readonly status: number }

export type PunchMessage =
  | { readonly type: 'connect'; readonly addresses: readonly Uint8Array[] }
  | { readonly type: 'sync' }

const HOP_TYPES = ['reserve', 'connect', 'status'] as const
const STOP_TYPES = ['connect', 'status'] as const
const PUNCH_CONNECT = 100n
const PUNCH_SYNC = 300n

export function encodeHop(message: HopMessage): Uint8Array {
  const type: Field = { number: 1, value: BigInt(HOP_TYPES.indexOf(message.type)) }
  if (message.type === 'reserve') return writeFields([type])
  if (message.type === 'connect') return writeFields([type, { number: 2, bytes: encodePeer(message.peer) }])
  const { reservation, limit, status } = message
  return writeFields([
    type,
    ...(reservation === null ? [] : [{ number: 3, bytes: encodeReservation(reservation) }]),
    ...(limit === null ? [] : [{ number: 4, bytes: encodeLimit(limit) }]),
    { number: 5, value: BigInt(status) },
  ])
}

/** `null` when it is none. */
export function decodeHop(bytes: Uint8Array): HopMessage | null {
  const fields = readFields(bytes)
  if (fields === null) return null
  const type = HOP_TYPES[Number(numberOf(fields, 1) ?? -1n)]
  if (type === undefined) return null
  if (type === 'reserve') return { type }
  if (type === 'connect') {
    const peer = decodePeer(fields, 2)
    return peer === null ? null : { type, peer }
  }
  const status = numberOf(fields, 5)
  const reservation = decodeReservation(fields, 3)
  const limit = decodeLimit(fields, 4)
  if (status === undefined || status > 0xffffn || reservation === undefined || limit === undefined) return null
  return { type, status: Number(status), reservation, limit }
}

export function encodeStop(message: StopMessage): Uint8Array {
  const type: Field = { number: 1, value: BigInt(STOP_TYPES.indexOf(message.type)) }
  if (message.type === 'status') return writeFields([type, { number: 4, value: BigInt(message.status) }])
  const { peer, limit } = message
  return writeFields([
    type,
    { number: 2, bytes: encodePeer(peer) },
    ...(limit === null ? [] : [{ number: 3, bytes: encodeLimit(limit) }]),
  ])
}

/** `null` when it is none. */
export function decodeStop(bytes: Uint8Array): StopMessage | null {
  const fields = readFields(bytes)
  if (fields === null) return null
  const type = STOP_TYPES[Number(numberOf(fields, 1) ?? -1n)]
  if (type === 'connect') {
    const peer = decodePeer(fields, 2)
    const limit = decodeLimit(fields, 3)
    return peer === null || limit === undefined ? null : { type, peer, limit }
  }
  const status = numberOf(fields, 4)
  if (type === undefined || status === undefined || status > 0xffffn) return null
  return { type, status: Number(status) }
}

export function encodePunch(message: PunchMessage): Uint8Array {
  if (message.type === 'sync') return writeFields([{ number: 1, value: PUNCH_SYNC }])
  const addresses = message.addresses.slice(0, MAX_ADDRESSES)
  return writeFields([{ number: 1, value: PUNCH_CONNECT }, ...addresses.map((bytes) => ({ number: 2, bytes }))])
}

/** `null` when it is none. */
export function decodePunch(bytes: Uint8Array): PunchMessage | null {
  const fields = readFields(bytes)
  if (fields === null) return null
  const type = numberOf(fields, 1)
  if (type === PUNCH_SYNC) return { type: 'sync' }
  if (type !== PUNCH_CONNECT) return null
  return { type: 'connect', addresses: addressesOf(fields, 2) }
}

function encodePeer(id: Uint8Array): Uint8Array {
  return writeFields([{ number: 1, bytes: id }])
}

function decodePeer(fields: readonly Field[], number: number): Uint8Array | null {
  const [inner] = bytesOf(fields, number)
  const [id] = bytesOf(inner === undefined ? [] : (readFields(inner) ?? []), 1)
  return id === undefined || id.length === 0 || id.length > MAX_PEER_ID_BYTES ? null : id
}

function encodeReservation({ expiresAtS, addresses }: Reservation): Uint8Array {
  return writeFields([
    { number: 1, value: BigInt(expiresAtS) },
    ...addresses.slice(0, MAX_ADDRESSES).map((bytes) => ({ number: 2, bytes })),
  ])
}

/** `undefined` when it cannot be read, `null` when there is none. */
function decodeReservation(fields: readonly Field[], number: number): Reservation | null | undefined {
  const [inner] = bytesOf(fields, number)
  if (inner === undefined) return null
  const read = readFields(inner)
  const expiresAtS = read === null ? undefined : numberOf(read, 1)
  if (read === null || expiresAtS === undefined || expiresAtS > BigInt(Number.MAX_SAFE_INTEGER)) return undefined
  return { expiresAtS: Number(expiresAtS), addresses: addressesOf(read, 2) }
}

function encodeLimit({ seconds, bytes }: CircuitLimit): Uint8Array {
  return writeFields([
    ...(seconds === null ? [] : [{ number: 1, value: BigInt(seconds) }]),
    ...(bytes === null ? [] : [{ number: 2, value: bytes }]),
  ])
}

/** Zero means no bound, as leaving it out does. */
function decodeLimit(fields: readonly Field[], number: number): CircuitLimit | null | undefined {
  const [inner] = bytesOf(fields, number)
  if (inner === undefined) return null
  const read = readFields(inner)
  if (read === null) return undefined
  const seconds = numberOf(read, 1) ?? 0n
  const bytes = numberOf(read, 2) ?? 0n
  if (seconds > 0xffff_ffffn) return undefined
  return { seconds: seconds === 0n ? null : Number(seconds), bytes: bytes === 0n ? null : bytes }
}

function addressesOf(fields: readonly Field[], number: number): readonly Uint8Array[] {
  return bytesOf(fields, number)
    .filter(({ length }) => length > 0 && length <= MAX_ADDRESS_BYTES)
    .slice(0, MAX_ADDRESSES)
}
