/** Trust in the simulator: who trusts whom, what people state and revoke, who lies, and when honest nodes agree. */
import { hash } from 'node:crypto'
import { liarKinds, TrustLiar } from './trust-liar.ts'
import { TrustNode } from './trust-node.ts'
import { TrustWatch } from './trust-watch.ts'
import { decodeCanonical, encodeCanonical } from '../../framing/canonical-cbor.ts'
import { createUpdate, NO_PREVIOUS } from '../../trust/update.ts'
import type { ReplicaOptions, TrustReplica } from '../../trust/replica.ts'
import type { Key, Statement, TrustLevel, Verify } from '../../trust/update.ts'
import type { Host, Part, Process, World } from '../part.ts'

export interface TrustCore {
  /** @default the one given */
  readonly verify?: (real: Verify) => Verify
  readonly createReplica?: (options: ReplicaOptions) => TrustReplica
}

export interface TrustPlan {
  /** Statements of each node while there is trouble, on average. */
  readonly statementsPerNode: number
  /** Share of them that revoke. */
  readonly revocations: number
}

const OTHER_PURPOSE = 'nzcore/invite/1'
/** Everybody trusts these and lets them vouch: so everybody follows whom they know. */
const FRIENDS = 2
/** People whom nodes speak of and who have no node. */
const STRANGERS = 12

export class TrustPart implements Part {
  readonly name = 'trust'
  readonly #world: World
  readonly #plan: TrustPlan
  readonly #core: TrustCore
  readonly #watch: TrustWatch
  readonly #honest: readonly number[]
  readonly #keys: readonly Key[]
  readonly #running = new Map<number, TrustNode>()
  readonly #crossSigned: readonly Uint8Array[]
  readonly #begun = new Set<number>()
  #quietFromMs = Infinity

  constructor(world: World, plan: TrustPlan, core: TrustCore = {}) {
    this.#world = world
    this.#plan = plan
    this.#core = core
    this.#watch = new TrustWatch(world)
    this.#keys = world.identities.map(({ key }) => key)
    this.#honest = this.#keys.flatMap((_, node) => (world.isLiar(node) ? [] : [node]))
    this.#crossSigned = this.#honest.slice(0, 3).flatMap((node) => this.#crossSignedBy(node))
  }

  start(host: Host): Process {
    const { isLiar, verify, count } = this.#world
    if (isLiar(host.node)) {
      const honest = this.#honest.length
      const kind = liarKinds[(host.node - honest) % liarKinds.length] ?? 'forger'
      const victims = this.#honest.map((node) => this.#keyOf(node))
      const quietFromMs = this.#quietFromMs
      const node = { host, keys: this.#keys, verify }
      return new TrustLiar({ kind, node, victims, crossSigned: this.#crossSigned, quietFromMs, count })
    }
    const { createReplica } = this.#core
    const node = new TrustNode({
      host,
      keys: this.#keys,
      verify: this.#core.verify?.(verify) ?? verify,
      observer: this.#watch,
      ...(createReplica === undefined ? {} : { createReplica }),
    })
    this.#running.set(host.node, node)
    this.#watch.restarted(host.node, node)
    if (!this.#begun.has(host.node)) this.#introduce(host, node)
    return node
  }

  crashed(node: number): void {
    this.#running.delete(node)
    this.#watch.crashed(node)
  }

  plan({ fromMs, untilMs }: { readonly fromMs: number; readonly untilMs: number }): void {
    const { chance, at } = this.#world
    this.#quietFromMs = untilMs
    const count = Math.round(this.#honest.length * this.#plan.statementsPerNode)
    for (let done = 0; done < count; done++) at(chance.between(fromMs, untilMs), () => this.#state())
  }

  check(node: number): void {
    const running = this.#running.get(node)
    if (running !== undefined) this.#watch.check(node, running)
  }

  difference(): string | null {
    for (const issuer of this.#keys) {
      const of = `the log of ${issuer.slice(0, 8)}`
      const author = this.#honest.find((node) => this.#keyOf(node) === issuer)
      const followers = this.#honest.filter((node) => this.#running.get(node)?.standpoint.interest.has(issuer) === true)
      if (author !== undefined && followers.length < this.#honest.length) {
        return `${this.#honest.length - followers.length} nodes do not follow ${of}`
      }
      const states = new Set(followers.map((node) => this.#stateAt(node, issuer)))
      // Not all follow every liar: between those who do there may be others, who pass nothing on.
      if (states.size > 1 && followers.length === this.#honest.length) return `${states.size} versions of ${of}`
    }
    return null
  }

  finish(): void {
    for (const node of this.#honest) {
      const running = this.#running.get(node)
      if (running === undefined) continue
      this.#watch.finish(node, running)
      this.#world.note(`root ${node} ${running.standpoint.replica.root()}`)
    }
  }

  /** What a new node says first. */
  #introduce(host: Host, node: TrustNode): void {
    this.#begun.add(host.node)
    const isFriend = host.node < FRIENDS
    const others = this.#keys.map((_, other) => other).filter((other) => other !== host.node)
    // Liars are believed to be honest until somebody finds out.
    const known = isFriend ? others : others.filter((other) => other < FRIENDS || this.#isBeside(host.node, other))
    for (const other of known) {
      const level = other < FRIENDS || isFriend ? 3 : 2
      node.issue({
        kind: 'trust',
        subject: this.#keyOf(other),
        level,
        expiresS: 0,
        vouchDepth: other < FRIENDS ? 3 : 1,
      })
    }
  }

  /** On the ring: nodes that must talk before anybody vouches. */
  #isBeside(node: number, other: number): boolean {
    const distance = Math.abs(node - other)
    return !this.#world.isLiar(other) && (distance === 1 || distance === this.#honest.length - 1)
  }

  /** Somebody says something of a stranger or of a liar, perhaps of one that it revoked before. */
  #state(): void {
    const { chance, isLiar } = this.#world
    const node = chance.pick(this.#honest)
    const isRevoked = chance.happens(this.#plan.revocations)
    const liars = this.#keys.flatMap((_, other) => (isLiar(other) ? [other] : []))
    const isOfLiar = liars.length > 0 && chance.happens(0.2)
    const subject = isOfLiar ? this.#keyOf(chance.pick(liars)) : this.#stranger(chance.between(1, STRANGERS))
    const level = chance.between(0, 4) as TrustLevel
    const expiresS = chance.happens(0.2) ? 1_800_000_000 + chance.between(-3_600, 3_600) : 0
    const statement: Statement = isRevoked
      ? { kind: 'revoke', subject, reason: 3 }
      : { kind: 'trust', subject, level, expiresS, vouchDepth: 0 }
    this.#running.get(node)?.issue(statement)
  }

  #stateAt(node: number, issuer: Key): string {
    const log = this.#running.get(node)?.standpoint.replica.log(issuer)
    return log === undefined || log.isEmpty ? 'nothing' : log.state
  }

  /** A node signed these very bytes, as something else; once as what it was, once passed off as an update. */
  #crossSignedBy(node: number): readonly Uint8Array[] {
    const identity = this.#world.identities[node]
    if (identity === undefined) return []
    const statement: Statement = { kind: 'trust', subject: this.#stranger(1), level: 4, expiresS: 0, vouchDepth: 0 }
    const body = { issuer: identity.key, sequence: 1, previous: NO_PREVIOUS, issuedS: 1_800_000_000, statement }
    const { bytes } = createUpdate(body, (_, message) => identity.sign(OTHER_PURPOSE, message))
    const [, encoded, signature] = decodeCanonical(bytes) as [string, Uint8Array, Uint8Array]
    return [bytes, encodeCanonical([OTHER_PURPOSE, encoded, signature])]
  }

  #stranger(at: number): Key {
    return hash('sha256', `${this.#world.seed}/stranger/${at}`, 'hex')
  }

  #keyOf(node: number): Key {
    const key = this.#keys[node]
    if (key === undefined) throw new RangeError(`no node ${node}`)
    return key
  }
}
