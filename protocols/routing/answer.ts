/** The answer to a setup: the setup as it came, signed by the destination, and by each hop on the way back (NZ-ROUTING-01 §6). */
import { hash } from 'node:crypto'
import { z } from 'zod'
import { encodeCanonical } from '../framing/canonical-cbor.ts'
import { MAX_HOPS, MAX_MESSAGE_BYTES } from './limits.ts'
import { checkSetup, isChain, readSetup } from './setup.ts'
import {
  ANSWER_HOP_PURPOSE,
  ANSWER_PURPOSE,
  bytesOf,
  FLOW_BYTES,
  hexOf,
  itemsOf,
  KEY_BYTES,
  SIGNATURE_BYTES,
  VERSION,
} from './signing.ts'
import type { FlowId, Key, Sign, Verify } from './signing.ts'
import type { Setup } from './setup.ts'

export interface AnswerHop {
  readonly key: Key
  /** From passing the setup on to this answer, in microseconds, by the hop's clock. */
  readonly waitedUs: number
  readonly signature: Uint8Array
}

export interface Answer {
  readonly flow: FlowId
  /** As the destination received it. */
  readonly setup: Setup
  /** The relay before the destination first. */
  readonly hops: readonly AnswerHop[]
  readonly bytes: Uint8Array
}

/** One node behind the source. */
export interface CheckedHop {
  readonly key: Key
  /** Round trip between it and the one before, as the two say. */
  readonly roundTripUs: number
  /** Its signature over the setup (the destination: over all it received). */
  readonly isSetupSigned: boolean
  /** Its signature over the answer. */
  readonly isAnswerSigned: boolean
}

const MAX_WAITED_US = 2 ** 48
const Bytes = (length: number): z.ZodType<Uint8Array> =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === length)
const HopItems = z.tuple([Bytes(KEY_BYTES), z.number().int().min(0).max(MAX_WAITED_US), Bytes(SIGNATURE_BYTES)])
const Envelope = z.tuple([
  z.literal(ANSWER_PURPOSE),
  z.instanceof(Uint8Array),
  Bytes(SIGNATURE_BYTES),
  z.array(HopItems).max(MAX_HOPS),
])
const BodyItems = z.tuple([z.literal(VERSION), Bytes(FLOW_BYTES), z.instanceof(Uint8Array)])

export function createAnswer(setup: Setup, sign: Sign): Uint8Array {
  const body = encodeCanonical([VERSION, bytesOf(setup.flow), setup.bytes])
  return encodeCanonical([ANSWER_PURPOSE, body, sign(ANSWER_PURPOSE, body), []])
}

/** The answer as `self` passes it back. @throws TypeError for what is no answer */
export function passBack(
  bytes: Uint8Array,
  { self, waitedUs }: { self: Key; waitedUs: number },
  sign: Sign,
): Uint8Array {
  const envelope = itemsOf(bytes, Envelope, MAX_MESSAGE_BYTES)
  if (envelope === null || envelope[3].length >= MAX_HOPS) throw new TypeError('the answer may not be passed back')
  const [purpose, body, signature, hops] = envelope
  const waited = Math.max(0, Math.min(Math.round(waitedUs), MAX_WAITED_US))
  const signed = sign(ANSWER_HOP_PURPOSE, hopMessage(bytes, waited))
  return encodeCanonical([purpose, body, signature, [...hops, [bytesOf(self), waited, signed]]])
}

/** `null` for anything that is no answer; its signatures are looked at by `checkAnswer`. */
export function readAnswer(bytes: Uint8Array): Answer | null {
  const envelope = itemsOf(bytes, Envelope, MAX_MESSAGE_BYTES)
  const body = envelope === null ? null : itemsOf(envelope[1], BodyItems, MAX_MESSAGE_BYTES)
  if (envelope === null || body === null) return null
  const setup = readSetup(body[2])
  if (typeof setup === 'string' || setup.flow !== hexOf(body[1])) return null
  const hops = envelope[3].map(([key, waitedUs, signature]) => ({ key: hexOf(key), waitedUs, signature }))
  return { flow: setup.flow, setup, hops, bytes }
}

/**
 * Everything the source of `sent` can know of the path: every node behind it with its signatures verified. `null` when
 * the answer is to another setup, or its hops are not those of the setup.
 */
export function checkAnswer(
  sent: Setup,
  { setup, hops, bytes }: Answer,
  { roundTripUs, verify }: { readonly roundTripUs: number; readonly verify: Verify },
): readonly CheckedHop[] | null {
  const envelope = itemsOf(bytes, Envelope, MAX_MESSAGE_BYTES)
  const first = setup.hops[0]
  const isOurs =
    first !== undefined && Buffer.compare(first.signature, sent.hops[0]?.signature ?? new Uint8Array()) === 0
  if (envelope === null || !isOurs || setup.sequence !== sent.sequence || setup.destination !== sent.destination)
    return null
  const relays = setup.hops.slice(1)
  const back = hops.toReversed()
  if (!isChain(setup, setup.destination) || back.length !== relays.length) return null
  if (relays.some(({ key }, at) => back[at]?.key !== key)) return null
  const there = checkSetup(setup, verify)
  const [purpose, body, signature, items] = envelope
  const waits = [roundTripUs, ...back.map(({ waitedUs }) => waitedUs), 0]
  const trip = (at: number): number => Math.max(0, (waits[at] ?? 0) - (waits[at + 1] ?? 0))
  const isDestinationSigned = verify(ANSWER_PURPOSE, body, signature, bytesOf(setup.destination))
  const checked = back.map(({ key, waitedUs, signature: signed }, at): CheckedHop => {
    const received = encodeCanonical([purpose, body, signature, items.slice(0, items.length - 1 - at)])
    return {
      key,
      roundTripUs: trip(at),
      isSetupSigned: there.hops[at + 1] === true,
      isAnswerSigned: verify(ANSWER_HOP_PURPOSE, hopMessage(received, waitedUs), signed, bytesOf(key)),
    }
  })
  const isSetupSigned = there.source && there.hops[0] === true
  const last = {
    key: setup.destination,
    roundTripUs: trip(back.length),
    isSetupSigned,
    isAnswerSigned: isDestinationSigned,
  }
  return [...checked, last]
}

function hopMessage(received: Uint8Array, waitedUs: number): Uint8Array {
  const waited = Buffer.alloc(8)
  waited.writeBigUInt64BE(BigInt(waitedUs))
  return Buffer.concat([hash('sha256', received, 'buffer'), waited])
}
