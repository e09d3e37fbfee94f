/**
 * Four routers in a row, links between them in memory, and a path from the first to the last: packets as a node sends
 * them, and the same packets with a signature of every node that sends them on. The second is what the protocol does
 * without (NZ-ROUTING-01 §7.3); it is built here alone.
 */
import { createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto'
import { systemClock, systemRandom } from '../kernel/index.ts'
import { signedBytes, verifyFor } from '../protocols/identity/signature.ts'
import { messageTypes, SEALED_HEAD_BYTES } from '../protocols/routing/link-message.ts'
import { Router, TICK_INTERVAL_MS } from '../protocols/routing/router.ts'
import { hexOf, KEY_BYTES, SIGNATURE_BYTES } from '../protocols/routing/signing.ts'
import { MessageCheck } from './messages.ts'
import type { KeyObject } from 'node:crypto'
import type { Effect } from '../protocols/routing/router.ts'
import type { FlowId, Key } from '../protocols/routing/signing.ts'

export const HOPS = 3
const MAX_TICKS = 200
/** More than a round moves: what a node lets pass is not what is measured. */
const RELAY_BYTES_PER_SECOND = 1_000_000_000_000
const NOTHING: Uint8Array = new Uint8Array(0)

interface LineNode {
  readonly key: Key
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly router: Router
}

interface InFlight {
  readonly from: number
  readonly to: number
  readonly message: Uint8Array
  /** Of every node that had the packet, the source's first; empty where packets are not signed. */
  readonly signatures: Uint8Array
}

export class PacketLine {
  readonly #nodes = Array.from({ length: HOPS + 1 }, () => newNode())
  readonly #inFlight: InFlight[] = []
  readonly #flow: FlowId
  #isOpen = false
  #isSigned = false
  /** The routers' time is the machine's and what was waited for in their time alone. */
  #aheadMs = 0
  #take: (payload: Uint8Array) => void = () => undefined

  constructor() {
    const destination = this.#node(HOPS).key
    for (let at = 0; at < HOPS; at++) {
      const [near, far] = [this.#node(at), this.#node(at + 1)]
      this.#run(at, near.router.neighbourUp(far.key, this.#nowMs))
      this.#run(at + 1, far.router.neighbourUp(near.key, this.#nowMs))
    }
    this.#deliver()
    const { router } = this.#node(0)
    for (let ticks = 0; router.nextHop(destination) === null; ticks++) {
      if (ticks === MAX_TICKS) throw new Error('no route came about')
      this.#aheadMs += TICK_INTERVAL_MS
      this.#nodes.forEach((node, at) => this.#run(at, node.router.tick(this.#nowMs)))
      this.#deliver()
    }
    const { flow, effects } = router.openFlow(destination, this.#nowMs)
    if (flow === null) throw new Error('no path can be set up')
    this.#flow = flow
    this.#run(0, effects)
    this.#deliver()
    if (!this.#isOpen) throw new Error('the path did not come about')
  }

  /** From the first to the last node. @throws unless each comes once, in order, intact */
  carry(
    messages: readonly Uint8Array[],
    { size, isSigned }: { readonly size: number; readonly isSigned: boolean },
  ): void {
    const check = new MessageCheck(size)
    this.#isSigned = isSigned
    this.#take = (payload) => check.push(payload)
    const { router } = this.#node(0)
    for (const message of messages) {
      this.#run(0, router.sendPacket(this.#flow, message, this.#nowMs))
      this.#deliver()
    }
    if (check.count !== messages.length) throw new Error(`${check.count} of ${messages.length} packets came`)
  }

  get #nowMs(): number {
    return systemClock.monotonicMs() + this.#aheadMs
  }

  #node(at: number): LineNode {
    const node = this.#nodes[at]
    if (node === undefined) throw new RangeError('no such node')
    return node
  }

  #deliver(): void {
    for (let next = this.#inFlight.shift(); next !== undefined; next = this.#inFlight.shift()) {
      const { from, to, message, signatures } = next
      if (signatures.length > 0) this.#verify(message, signatures)
      this.#run(to, this.#node(to).router.receive(this.#node(from).key, message, this.#nowMs), signatures)
    }
  }

  /** `received`: the signatures that came with what brought these effects about. */
  #run(at: number, effects: readonly Effect[], received = NOTHING): void {
    for (const effect of effects) {
      if (effect.kind === 'send') this.#send(at, effect.to, effect.message, received)
      else if (effect.kind === 'packet') this.#take(effect.payload)
      else if (effect.kind === 'flowOpened') this.#isOpen ||= effect.hops?.length === HOPS
      else if (effect.kind !== 'routesChanged') throw new Error(`${effect.kind}: ${effect.code}`)
    }
  }

  #send(from: number, key: Key, message: Uint8Array, received: Uint8Array): void {
    const to = this.#nodes.findIndex((node) => node.key === key)
    const isSigned = this.#isSigned && message[0] === messageTypes.packet
    const signatures = isSigned ? this.#sign(from, message, received) : NOTHING
    this.#inFlight.push({ from, to, message, signatures })
  }

  /** Over the packet and the signatures it came with. */
  #sign(at: number, message: Uint8Array, received: Uint8Array): Uint8Array {
    const signed = Buffer.concat([message.subarray(SEALED_HEAD_BYTES), received])
    return Buffer.concat([received, sign(null, signed, this.#node(at).privateKey)])
  }

  /** All of them, as each node does with the signatures of a setup. */
  #verify(message: Uint8Array, signatures: Uint8Array): void {
    const packet = message.subarray(SEALED_HEAD_BYTES)
    const all = Buffer.concat([packet, signatures])
    for (let at = 0; at * SIGNATURE_BYTES < signatures.length; at++) {
      const end = packet.length + at * SIGNATURE_BYTES
      const isSigned = verify(
        null,
        all.subarray(0, end),
        this.#node(at).publicKey,
        all.subarray(end, end + SIGNATURE_BYTES),
      )
      if (!isSigned) throw new Error(`the signature of node ${at} is not right`)
    }
  }
}

function newNode(): LineNode {
  const { privateKey } = generateKeyPairSync('ed25519')
  const publicKey = createPublicKey(privateKey)
  const key = hexOf(publicKey.export({ format: 'der', type: 'spki' }).subarray(-KEY_BYTES))
  const router = new Router({
    self: key,
    random: systemRandom,
    sign: (purpose, message) => sign(null, signedBytes(purpose, message), privateKey),
    verify: verifyFor,
    policy: { mayRelayFor: () => true, mayRouteThrough: () => true, mayReachHere: () => true },
    wallClockMs: () => systemClock.nowMs(),
    relayBytesPerSecond: RELAY_BYTES_PER_SECOND,
  })
  return { key, privateKey, publicKey, router }
}
