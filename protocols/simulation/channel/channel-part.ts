/** Channels in the simulator: what comes out of one was sent in it, once; keys change, and after healing all go on. */
import { hash } from 'node:crypto'
import { localIdentity } from '../../handshake/identity.ts'
import { x25519KeyPairFromSeed } from '../../noise/x25519.ts'
import { ChannelLiar } from './channel-liar.ts'
import { ChannelNode } from './channel-node.ts'
import type { LocalIdentity } from '../../handshake/identity.ts'
import type { Host, Part, Process, World } from '../part.ts'
import type { Call } from './channel-node.ts'

/** How often it is looked whether somebody has to call again. */
const LOOK_EVERY_MS = 200
const PINNED_SHARE = 0.5
/** Epochs behind the first that a channel must reach. */
const EPOCHS = 2

/** Two nodes that are to have a channel, whatever happens. */
interface Pair {
  readonly source: number
  readonly destination: number
  call: number
  /** By which neighbour it was called last. */
  via: number
}

interface Sent {
  readonly from: number
  readonly to: number
  readonly call: number
  readonly atMs: number
  arrivals: number
}

export class ChannelPart implements Part {
  readonly name = 'channel'
  readonly #world: World
  readonly #identities: readonly LocalIdentity[]
  readonly #neighbours = new Map<number, readonly number[]>()
  readonly #running = new Map<number, ChannelNode>()
  readonly #pairs: Pair[] = []
  /** Calls by their number. */
  readonly #made = new Map<number, Pick<Pair, 'source' | 'destination'>>()
  readonly #sent = new Map<string, Sent>()
  /** Ends by session: each opens once. */
  readonly #opened = new Set<string>()
  /** By call and receiver: something arrived that was sent after all healed. */
  readonly #heard = new Set<string>()
  #healsAtMs = Infinity

  constructor(world: World) {
    this.#world = world
    this.#identities = world.identities.map((identity, node) => {
      const seed = hash('sha256', `${world.seed}/static key/${node}`, 'buffer')
      return localIdentity(identity.publicKey, x25519KeyPairFromSeed(seed), (purpose, message) =>
        identity.sign(purpose, message),
      )
    })
  }

  start(host: Host): Process {
    this.#neighbours.set(host.node, host.neighbours)
    if (this.#world.isLiar(host.node)) return new ChannelLiar(host)
    const { count, violate } = this.#world
    const node = new ChannelNode({
      host,
      identity: this.#identityOf(host.node),
      verify: this.#world.verify,
      nextPayload: (at, call) => this.#nextPayload(at, call),
      onPayload: (at, call, payload) => this.#arrived(at, call, Buffer.from(payload).toString('latin1')),
      onOpened: (at, call) => this.#openedAt(at, call),
      onRefused: (code) => count(`refused ${code}`),
      onEnded: (at, call, why) => {
        count(`ended ${why}`)
        const isOver = why === 'NZ_CHANNEL_EXPIRED' || why === 'NZ_CHANNEL_EXHAUSTED'
        const isAlone = this.#running.get(call.peer)?.call(call.number) === undefined
        if (isOver && !isAlone) violate(`channel: node ${at} had no new keys in time in call ${call.number}: ${why}`)
      },
    })
    this.#running.set(host.node, node)
    return node
  }

  crashed(node: number): void {
    this.#running.delete(node)
  }

  plan({ fromMs, untilMs }: { readonly fromMs: number; readonly untilMs: number }): void {
    const { at, chance, nowMs } = this.#world
    this.#healsAtMs = untilMs
    const look = (): void => {
      for (const pair of this.#pairs) this.#callAgain(pair)
      at(nowMs() + LOOK_EVERY_MS, look)
    }
    at(fromMs, () => {
      for (const source of this.#honest()) {
        const reachable = this.#honest().filter((node) => node !== source && this.#ways(source, node).length > 0)
        this.#pairs.push({ source, destination: chance.pick(reachable), call: 0, via: -1 })
      }
      look()
    })
  }

  check(): void {}

  difference(): string | null {
    const apart = this.#pairs.filter((pair) => !this.#isWell(pair))
    const [first] = apart
    return first === undefined ? null : `${apart.length} calls, such as ${first.source}>${first.destination}`
  }

  finish(): void {
    for (const { source, call } of this.#pairs) {
      const epoch = this.#running.get(source)?.call(call)?.endpoint.epoch ?? -1
      this.#world.note(`call ${call} of ${source} in epoch ${epoch}`)
    }
  }

  /** Open at both ends, with new keys since, and heard at both ends after healing. */
  #isWell({ source, destination, call }: Pair): boolean {
    const ends = [source, destination].map((node) => this.#running.get(node)?.call(call)?.endpoint)
    const [one, other] = ends.map((end) => hexOf(end?.session?.session))
    const isHeard = this.#heard.has(`${call} ${source}`) && this.#heard.has(`${call} ${destination}`)
    return isHeard && one === other && ends.every((end) => end?.state === 'open' && end.epoch >= EPOCHS)
  }

  #callAgain(pair: Pair): void {
    const { chance, count } = this.#world
    const node = this.#running.get(pair.source)
    if (node === undefined || node.call(pair.call) !== undefined) return
    pair.call = this.#made.size + 1
    this.#made.set(pair.call, { source: pair.source, destination: pair.destination })
    count('calls')
    // As routing does: after a call that failed by another neighbour, if there is one.
    const ways = this.#ways(pair.source, pair.destination)
    const others = ways.filter((way) => way !== pair.via)
    pair.via = chance.pick(others.length > 0 ? others : ways)
    node.open({
      number: pair.call,
      peer: pair.destination,
      via: pair.via,
      expected: this.#identityOf(pair.destination),
      isPinned: chance.happens(PINNED_SHARE),
    })
  }

  /** Neighbours by which one node reaches the other: itself, or who is beside both. */
  #ways(source: number, destination: number): readonly number[] {
    const beyond = this.#neighbours.get(destination) ?? []
    const found = this.#neighbours.get(source) ?? []
    return found.filter((node) => node === destination || beyond.includes(node))
  }

  #openedAt(node: number, { number, endpoint, peer, isOutgoing }: Call): void {
    const { count, violate } = this.#world
    const session = hexOf(endpoint.session?.session)
    const name = `${session} ${node}`
    count('ends opened')
    if (this.#opened.has(name)) violate(`channel: node ${node} opened a session of call ${number} again`)
    this.#opened.add(name)
    const proven = hexOf(endpoint.session?.peerKey)
    const claimed = hexOf(this.#identityOf(peer).publicKey)
    if (proven !== claimed) violate(`channel: node ${node} opened call ${number} with somebody else than ${peer}`)
    const made = this.#made.get(number)
    const [source, destination] = isOutgoing ? [node, peer] : [peer, node]
    if (made?.source !== source || made.destination !== destination)
      violate(`channel: node ${node} opened call ${number}, which ${peer} does not make`)
  }

  #nextPayload(from: number, { number, peer }: Call): Uint8Array {
    const text = `${this.#sent.size} ${from}>${peer} in ${number}`
    this.#sent.set(text, { from, to: peer, call: number, atMs: this.#world.nowMs(), arrivals: 0 })
    return Buffer.from(text, 'latin1')
  }

  #arrived(node: number, { number, peer, endpoint }: Call, text: string): number {
    const { violate, count } = this.#world
    const sent = this.#sent.get(text)
    if (sent === undefined) {
      violate(`channel: node ${node} took what nobody sent`)
      return 0
    }
    sent.arrivals += 1
    if (sent.arrivals > 1) violate(`channel: node ${node} took a replay of ${text}`)
    if (sent.to !== node || sent.from !== peer || sent.call !== number) {
      violate(`channel: node ${node} took ${text} from ${peer} in ${number}`)
    }
    count('payloads arrived')
    if (endpoint.epoch > 0) count('payloads arrived under later keys')
    if (sent.atMs >= this.#healsAtMs) this.#heard.add(`${number} ${node}`)
    return sent.atMs
  }

  #honest(): readonly number[] {
    return this.#identities.flatMap((_, node) => (this.#world.isLiar(node) ? [] : [node]))
  }

  #identityOf(node: number): LocalIdentity {
    const identity = this.#identities[node]
    if (identity === undefined) throw new RangeError(`no node ${node}`)
    return identity
  }
}

function hexOf(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString('hex')
}
