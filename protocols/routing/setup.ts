/** Setting up a path: signed by its source, and by each hop over what it received (NZ-ROUTING-01 §5). */
import { hash } from 'node:crypto'
import { z } from 'zod'
import { encodeCanonical } from '../framing/canonical-cbor.ts'
import { MAX_HOPS, MAX_MESSAGE_BYTES, MAX_SEQUENCE } from './limits.ts'
import {
  bytesOf,
  FLOW_BYTES,
  hexOf,
  HOP_PURPOSE,
  itemsOf,
  KEY_BYTES,
  SETUP_PURPOSE,
  SIGNATURE_BYTES,
  VERSION,
} from './signing.ts'
import type { RouteCode } from './errors.ts'
import type { FlowId, Key, Sign, Verify } from './signing.ts'

/** What the source signs: all of it holds on the whole path. */
export interface SetupBody {
  readonly source: Key
  readonly destination: Key
  readonly flow: FlowId
  /** Above that of every earlier setup of the source. */
  readonly sequence: number
}

export interface Hop {
  readonly key: Key
  /** Hops that may follow. */
  readonly ttl: number
  /** Whom the hop gave the setup to. */
  readonly next: Key
  readonly signature: Uint8Array
}

export interface Setup extends SetupBody {
  /** The source first. */
  readonly hops: readonly Hop[]
  /** As it travels. */
  readonly bytes: Uint8Array
}

const Bytes = (length: number): z.ZodType<Uint8Array> =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === length)
const Ttl = z.number().int().min(0).max(MAX_HOPS)
const HopItems = z.tuple([Bytes(KEY_BYTES), Ttl, Bytes(KEY_BYTES), Bytes(SIGNATURE_BYTES)])
const Envelope = z.tuple([
  z.string().min(1).max(64),
  z.instanceof(Uint8Array),
  Bytes(SIGNATURE_BYTES),
  z.array(HopItems).min(1).max(MAX_HOPS),
])
const BodyItems = z.tuple([
  z.literal(VERSION),
  Bytes(KEY_BYTES),
  Bytes(KEY_BYTES),
  Bytes(FLOW_BYTES),
  z.number().int().min(1).max(MAX_SEQUENCE),
])
const AnyVersion = z.tuple([z.number().int().min(0)], z.unknown())

interface Encoded {
  readonly body: Uint8Array
  readonly signature: Uint8Array
  readonly hops: readonly Hop[]
}

/** A setup as its source sends it to `next`. */
export function createSetup(
  body: SetupBody,
  { ttl, next }: { readonly ttl: number; readonly next: Key },
  sign: Sign,
): Setup {
  const encoded = encodeCanonical([
    VERSION,
    bytesOf(body.source),
    bytesOf(body.destination),
    bytesOf(body.flow),
    body.sequence,
  ])
  return {
    ...body,
    ...append({ body: encoded, signature: sign(SETUP_PURPOSE, encoded), hops: [] }, body.source, ttl, next, sign),
  }
}

/** The setup as `self` passes it on to `next`. @throws TypeError when its hops are at an end */
export function passOn(setup: Setup, { self, next }: { readonly self: Key; readonly next: Key }, sign: Sign): Setup {
  const last = setup.hops.at(-1)
  const parts = partsOf(setup.bytes)
  if (last === undefined || last.ttl < 1 || parts === null) throw new TypeError('the setup may not be passed on')
  return { ...setup, ...append(parts, self, last.ttl - 1, next, sign) }
}

/** The setup in `bytes` if its form is right: its signatures are looked at by `checkSetup`. */
export function readSetup(bytes: Uint8Array): Setup | RouteCode {
  const envelope = itemsOf(bytes, Envelope, MAX_MESSAGE_BYTES)
  if (envelope === null) return 'NZ_ROUTE_MALFORMED'
  const [purpose, encoded, , hops] = envelope
  const version = itemsOf(encoded, AnyVersion, MAX_MESSAGE_BYTES)
  if (version !== null && version[0] !== VERSION) return 'NZ_ROUTE_VERSION'
  if (purpose !== SETUP_PURPOSE) return 'NZ_ROUTE_PURPOSE'
  const body = itemsOf(encoded, BodyItems, MAX_MESSAGE_BYTES)
  if (body === null) return 'NZ_ROUTE_MALFORMED'
  const [, source, destination, flow, sequence] = body
  if (hexOf(source) === hexOf(destination)) return 'NZ_ROUTE_MALFORMED'
  return {
    source: hexOf(source),
    destination: hexOf(destination),
    flow: hexOf(flow),
    sequence,
    hops: hops.map(hopOf),
    bytes,
  }
}

/** Whether the hops follow each other from the source to `receiver`, each with one hop less to go, none twice. */
export function isChain({ source, hops }: Setup, receiver: Key): boolean {
  const keys = new Set(hops.map(({ key }) => key))
  if (keys.size < hops.length || keys.has(receiver) || hops[0]?.key !== source) return false
  return hops.every(({ next, ttl }, at) => {
    const following = hops[at + 1]
    return following === undefined ? next === receiver : following.key === next && following.ttl === ttl - 1
  })
}

export interface SetupCheck {
  readonly source: boolean
  /** Of each hop, in order. */
  readonly hops: readonly boolean[]
}

/** Verifies each signature. */
export function checkSetup({ source, hops, bytes }: Setup, verify: Verify): SetupCheck {
  const parts = partsOf(bytes)
  if (parts === null) return { source: false, hops: hops.map(() => false) }
  const { body, signature } = parts
  return {
    source: verify(SETUP_PURPOSE, body, signature, bytesOf(source)),
    hops: hops.map(({ key, ttl, next, signature: signed }, at) =>
      verify(HOP_PURPOSE, hopMessage({ body, signature, hops: hops.slice(0, at) }, ttl, next), signed, bytesOf(key)),
    ),
  }
}

function append(parts: Encoded, key: Key, ttl: number, next: Key, sign: Sign): Pick<Setup, 'hops' | 'bytes'> {
  const hop: Hop = { key, ttl, next, signature: sign(HOP_PURPOSE, hopMessage(parts, ttl, next)) }
  const hops = [...parts.hops, hop]
  return { hops, bytes: encode({ ...parts, hops }) }
}

/** Over all that the hop received, and what it adds. */
function hopMessage(received: Encoded, ttl: number, next: Key): Uint8Array {
  return Buffer.concat([hash('sha256', encode(received), 'buffer'), Uint8Array.of(ttl), bytesOf(next)])
}

function encode({ body, signature, hops }: Encoded): Uint8Array {
  const items = hops.map(({ key, ttl, next, signature: signed }) => [bytesOf(key), ttl, bytesOf(next), signed])
  return encodeCanonical([SETUP_PURPOSE, body, signature, items])
}

function partsOf(bytes: Uint8Array): Encoded | null {
  const envelope = itemsOf(bytes, Envelope, MAX_MESSAGE_BYTES)
  if (envelope === null) return null
  return { body: envelope[1], signature: envelope[2], hops: envelope[3].map(hopOf) }
}

function hopOf([key, ttl, next, signature]: z.infer<typeof HopItems>): Hop {
  return { key: hexOf(key), ttl, next: hexOf(next), signature }
}
