/** Nodes that lie about trust: each follows the protocol as far as it helps, and attacks on top. */
import { decodeRequest, encodeRequest, MAX_PUSHED } from '../../trust/reconcile-messages.ts'
import { createUpdate, NO_PREVIOUS } from '../../trust/update.ts'
import { isRequest, requestMessage, TrustNode } from './trust-node.ts'
import type { SigningPurpose } from '../../identity/signature.ts'
import type { Key, Statement, TrustLevel, TrustUpdate } from '../../trust/update.ts'
import type { Host, Process } from '../part.ts'
import type { TrustNodeInit } from './trust-node.ts'

export const liarKinds = ['forger', 'replayer', 'withholder', 'forker', 'flooder'] as const
export type LiarKind = (typeof liarKinds)[number]

/** Between two attacks of a liar. */
const ATTACK_EVERY_MS = 1_500
/** Updates that a replayer keeps. */
const MAX_CAPTURED = 512
const REPLAYED_AT_ONCE = 6
const FLOODED_AT_ONCE = 8
/** Ids of requests that no honest logic waits for. */
const FIRST_ATTACK_ID = 0x8000_0000

export interface LiarInit {
  readonly kind: LiarKind
  readonly node: Omit<TrustNodeInit, 'observer' | 'createReplica'>
  /** Honest issuers, whom a forger claims to be. */
  readonly victims: readonly Key[]
  /** What victims signed for another purpose, made up as updates. */
  readonly crossSigned: readonly Uint8Array[]
  /** After this time a liar says nothing new about its own log; it goes on with everything else. */
  readonly quietFromMs: number
  readonly count: (what: string) => void
}

export class TrustLiar implements Process {
  readonly #init: LiarInit
  readonly #host: Host
  readonly #inner: TrustNode
  readonly #captured: TrustUpdate[] = []
  #own: readonly [TrustUpdate[], TrustUpdate[]] = [[], []]
  #attacks = 0

  constructor(init: LiarInit) {
    this.#init = init
    this.#host = init.node.host
    const capture = (updates: readonly TrustUpdate[]): void => {
      for (const update of updates) if (this.#captured.length < MAX_CAPTURED) this.#captured.push(update)
    }
    const observer = {
      signed: () => undefined,
      kept: () => undefined,
      received: (_: number, receipts: readonly { readonly added: readonly TrustUpdate[] }[]) =>
        receipts.forEach(({ added }) => capture(added)),
    }
    this.#inner = new TrustNode({ ...init.node, observer })
    this.#schedule()
  }

  connected(peer: number): void {
    this.#inner.connected(peer)
  }

  disconnected(peer: number): void {
    this.#inner.disconnected(peer)
  }

  receive(from: number, bytes: Uint8Array): void {
    // It takes requests and never answers: whoever asks it waits.
    if (this.#init.kind === 'withholder' && isRequest(bytes)) return
    if (this.#init.kind === 'replayer' && isRequest(bytes)) this.#sendBack(from, bytes)
    this.#inner.receive(from, bytes)
  }

  #schedule(): void {
    const { clock, random } = this.#host
    clock.setTimer(ATTACK_EVERY_MS * (0.5 + random.unit()), () => {
      this.#attack()
      this.#schedule()
    })
  }

  #attack(): void {
    const { kind, count, quietFromMs } = this.#init
    const isQuiet = this.#host.clock.monotonicMs() >= quietFromMs
    if (isQuiet && (kind === 'forker' || kind === 'flooder')) return
    this.#attacks += 1
    const updates = this.#lies()
    if (updates.length === 0) return
    count(`attacks by a ${kind}`)
    for (const [at, peer] of this.#host.neighbours.entries()) {
      const shown = kind === 'forker' ? updates.slice(at % 2, (at % 2) + 1) : updates
      if (shown.length > 0) this.#push(peer, shown)
    }
  }

  #lies(): readonly Uint8Array[] {
    switch (this.#init.kind) {
      case 'forger':
        return this.#forged()
      case 'replayer':
        return this.#replayed()
      case 'forker':
        return this.#twoHistories()
      case 'flooder':
        return this.#flood()
      case 'withholder':
        return []
    }
  }

  /** In the name of others: signed by the wrong key, altered, with a damaged signature, signed for something else. */
  #forged(): readonly Uint8Array[] {
    const { victims, crossSigned } = this.#init
    const issuer = this.#pick(victims)
    if (issuer === undefined) return []
    const chain = this.#inner.standpoint.replica.log(issuer)?.chain ?? []
    const last = chain.at(-1)
    const body = {
      issuer,
      sequence: (last?.sequence ?? 0) + 1,
      previous: last?.id ?? NO_PREVIOUS,
      issuedS: Math.floor(this.#host.clock.nowMs() / 1_000),
      statement: this.#statement(4),
    }
    const signAsSelf = (purpose: SigningPurpose, message: Uint8Array): Uint8Array =>
      this.#host.identity.sign(purpose, message)
    const lies = [createUpdate(body, signAsSelf).bytes]
    if (last !== undefined) {
      const damaged = Uint8Array.from(last.bytes)
      damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1
      const taken = last.bytes.subarray(-64)
      lies.push(damaged, createUpdate(body, () => taken).bytes)
    }
    const other = this.#pick(crossSigned)
    if (other !== undefined) lies.push(other)
    return lies
  }

  /** Old updates, in any order. */
  #replayed(): readonly Uint8Array[] {
    return Array.from({ length: REPLAYED_AT_ONCE }, () => this.#pick(this.#captured)?.bytes).filter(
      (bytes) => bytes !== undefined,
    )
  }

  /** Whatever a peer asked is asked of it, word for word. */
  #sendBack(to: number, bytes: Uint8Array): void {
    if (decodeRequest(bytes.subarray(5))?.kind === 'push') this.#host.send(to, bytes)
  }

  /** One step further in both of its histories; who sees both has the proof. */
  #twoHistories(): readonly Uint8Array[] {
    this.#own = [
      [...this.#own[0], this.#next(this.#own[0], 3)],
      [...this.#own[1], this.#next(this.#own[1], 4)],
    ]
    return this.#own.map((history) => history.at(-1)?.bytes).filter((bytes) => bytes !== undefined)
  }

  /** Its own log with gaps that never close, and logs of issuers that nobody knows. */
  #flood(): readonly Uint8Array[] {
    const [own] = this.#own
    const updates = Array.from({ length: FLOODED_AT_ONCE }, () => {
      const update = this.#next(own, 2)
      own.push(update)
      return update.bytes
    })
    return updates.filter((_, at) => (at + this.#attacks) % 3 !== 0).slice(0, MAX_PUSHED)
  }

  #next(history: readonly TrustUpdate[], level: TrustLevel): TrustUpdate {
    const last = history.at(-1)
    const issuedS = Math.floor(this.#host.clock.nowMs() / 1_000)
    const { identity } = this.#host
    return createUpdate(
      {
        issuer: identity.key,
        sequence: (last?.sequence ?? 0) + 1,
        previous: last?.id ?? NO_PREVIOUS,
        issuedS,
        statement: this.#statement(level),
      },
      (purpose, message) => identity.sign(purpose, message),
    )
  }

  #statement(level: TrustLevel): Statement {
    const subject = this.#pick(this.#init.victims) ?? this.#host.identity.key
    return { kind: 'trust', subject, level, expiresS: 0, vouchDepth: 0 }
  }

  #push(peer: number, updates: readonly Uint8Array[]): void {
    const id = FIRST_ATTACK_ID + (this.#attacks % FIRST_ATTACK_ID)
    this.#host.send(peer, requestMessage(id, encodeRequest({ kind: 'push', updates })))
  }

  #pick<T>(items: readonly T[]): T | undefined {
    return items[Math.floor(this.#host.random.unit() * items.length)]
  }
}
