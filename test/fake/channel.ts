/** Two ends of handshakes and channels with fixed or seeded keys, and a path between them that can be told what to do. */
import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { seededRandom } from '../../kernel/index.ts'
import { signedBytes, verifyFor } from '../../protocols/identity/signature.ts'
import { Channel } from '../../protocols/channel/channel.ts'
import { localIdentity, startHandshake } from '../../protocols/handshake/handshake.ts'
import { x25519KeyPairFromSeed } from '../../protocols/noise/x25519.ts'
import type { Random } from '../../kernel/index.ts'
import type { ChannelLimits } from '../../protocols/channel/limits.ts'
import type {
  Established,
  InitiatorInit,
  LocalIdentity,
  ResponderInit,
  RunningHandshake,
} from '../../protocols/handshake/handshake.ts'

export const PURPOSE = 'nzcore/test/1'
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')

/** The identity whose Ed25519 seed is 32 times `fill`; its static key's seed 32 times `fill + 100`. */
export function identityOf(fill: number): LocalIdentity {
  const der = Buffer.concat([PKCS8, Buffer.alloc(32, fill)])
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const publicKey = new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32))
  return localIdentity(publicKey, x25519KeyPairFromSeed(Buffer.alloc(32, fill + 100)), (purpose, message) => {
    return new Uint8Array(sign(null, signedBytes(purpose, message), key))
  })
}

export const ANN = identityOf(1)
export const BOB = identityOf(2)
export const EVE = identityOf(3)

export function initiatorInit(changes: Partial<InitiatorInit> = {}): InitiatorInit {
  return {
    role: 'initiator',
    identity: ANN,
    verify: verifyFor,
    purpose: PURPOSE,
    features: ['deflate', 'zstd'],
    expectedPeer: BOB.publicKey,
    random: seededRandom(1),
    nowMs: 0,
    ...changes,
  }
}

export function responderInit(changes: Partial<ResponderInit> = {}): ResponderInit {
  return {
    role: 'responder',
    identity: BOB,
    verify: verifyFor,
    purpose: PURPOSE,
    features: ['deflate', 'other'],
    random: seededRandom(2),
    nowMs: 0,
    ...changes,
  }
}

/** Call k gives bytes of value `first` + k; what was given is written down, in hexadecimal. */
export function plainRandom(first: number): Random & { readonly given: string[] } {
  const given: string[] = []
  return {
    given,
    unit: () => 0,
    bytes(length) {
      const bytes = new Uint8Array(length).fill(first + given.length)
      given.push(Buffer.from(bytes).toString('hex'))
      return bytes
    },
  }
}

export interface Pair {
  readonly initiator: Established
  readonly responder: Established
  readonly calling: RunningHandshake
  readonly called: RunningHandshake
}

/** Runs a handshake over a path that delivers everything at once. */
export function handshake(initiator: Partial<InitiatorInit> = {}, responder: Partial<ResponderInit> = {}): Pair {
  const calling = startHandshake(initiatorInit(initiator))
  const called = startHandshake(responderInit(responder))
  const nowMs = initiator.nowMs ?? 0
  let ours: Established | undefined
  let theirs: Established | undefined
  let toCalled = [...calling.due(nowMs).send]
  for (let turns = 0; turns < 6 && toCalled.length > 0; turns += 1) {
    const answers = toCalled.map((frame) => called.receive(frame, nowMs))
    for (const step of answers) theirs ??= step.done
    const steps = answers.flatMap(({ send }) => send).map((frame) => calling.receive(frame, nowMs))
    for (const step of steps) ours ??= step.done
    toCalled = steps.flatMap(({ send }) => [...send])
  }
  assert.ok(ours !== undefined && theirs !== undefined, 'the handshake ends')
  return { initiator: ours, responder: theirs, calling, called }
}

export interface Ends {
  readonly ann: Channel
  readonly bob: Channel
}

/** A channel between two ends that have seen each other. */
export function channels({
  limits,
  nowMs = 0,
  pair = handshake(),
}: { readonly limits?: ChannelLimits; readonly nowMs?: number; readonly pair?: Pair } = {}): Ends {
  const shared = { nowMs, ...(limits === undefined ? {} : { limits }) }
  const ann = new Channel({ ...shared, established: pair.initiator, staticKey: ANN.staticKey, random: seededRandom(3) })
  const bob = new Channel({ ...shared, established: pair.responder, staticKey: BOB.staticKey, random: seededRandom(4) })
  settle({ ann, bob }, nowMs)
  return { ann, bob }
}

/** Exchanges control packets until neither has any more. */
export function settle({ ann, bob }: Ends, nowMs: number): void {
  for (let turns = 0; turns < 20; turns += 1) {
    const [toBob, toAnn] = [ann.due(nowMs), bob.due(nowMs)]
    if (toBob.length + toAnn.length === 0) return
    for (const packet of toBob) bob.open(packet, nowMs)
    for (const packet of toAnn) ann.open(packet, nowMs)
  }
  assert.fail('the ends do not come to rest')
}

export function sealed(channel: Channel, payload: Uint8Array | string, nowMs = 0): Uint8Array {
  const result = channel.seal(typeof payload === 'string' ? Buffer.from(payload) : payload, nowMs)
  assert.ok('packet' in result, JSON.stringify(result))
  return result.packet
}

/** The payload as text, else the code it was refused with, else the control. */
export function opened(channel: Channel, packet: Uint8Array, nowMs = 0): string {
  const result = channel.open(packet, nowMs)
  if ('payload' in result) return Buffer.from(result.payload).toString()
  return 'refused' in result ? result.refused : result.control
}
