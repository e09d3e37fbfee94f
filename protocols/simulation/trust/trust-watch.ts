/**
 * What must hold of trust on honest nodes, whatever anybody does. Looks at replicas from outside and verifies signatures
 * itself: it believes neither the core's codes nor the verification that the core was given.
 */
import { UPDATE_PURPOSE } from '../../trust/update.ts'
import { decodeCanonical } from '../../framing/canonical-cbor.ts'
import { bytesOf, NO_PREVIOUS } from '../../trust/update.ts'
import type { IssuerLog } from '../../trust/issuer-log.ts'
import type { Receipt } from '../../trust/replica.ts'
import type { Key, TrustUpdate } from '../../trust/update.ts'
import type { World } from '../part.ts'
import type { TrustNode, TrustObserver } from './trust-node.ts'

interface Seen {
  /** Ids that this run of the node has taken. */
  readonly taken: Set<Key>
  /** `issuer/subject` of revocations that must hold. */
  revocations: Set<string>
  readonly durableRevocations: Set<string>
  /** Issuers of whom something changed since the last look. */
  readonly changed: Set<Key>
}

export class TrustWatch implements TrustObserver {
  readonly #world: World
  /** Honest issuers. */
  readonly #honest: ReadonlySet<Key>
  readonly #signed = new Map<Key, TrustUpdate>()
  readonly #seen: readonly Seen[]
  readonly #verified = new Set<Key>()

  constructor(world: World) {
    this.#world = world
    this.#honest = new Set(world.identities.flatMap(({ key }, node) => (world.isLiar(node) ? [] : [key])))
    this.#seen = world.identities.map(() => ({
      taken: new Set<Key>(),
      revocations: new Set<string>(),
      durableRevocations: new Set<string>(),
      changed: new Set<Key>(),
    }))
  }

  signed(_: number, update: TrustUpdate): void {
    this.#signed.set(update.id, update)
    this.#world.count('updates signed')
  }

  received(node: number, receipts: readonly Receipt[]): void {
    const seen = this.#seenBy(node)
    for (const { code, update, added, removed } of receipts) {
      this.#world.count(`answered ${code ?? 'taken'}`)
      if (update === null) continue
      for (const { id } of removed) seen.taken.delete(id)
      const isNew = added.some(({ id }) => id === update.id)
      if (seen.taken.has(update.id) && (code === null || isNew)) {
        this.#violate(node, `took a replay: ${named(update)}`)
      }
      this.#note(node, added)
    }
  }

  kept(node: number, added: readonly TrustUpdate[]): void {
    this.#note(node, added)
    const { durableRevocations } = this.#seenBy(node)
    for (const { issuer, statement } of added) {
      if (statement.kind === 'revoke') durableRevocations.add(`${issuer}/${statement.subject}`)
    }
  }

  /** What was not durable is gone; the rest must be there when it returns. */
  crashed(node: number): void {
    const seen = this.#seenBy(node)
    seen.taken.clear()
    seen.changed.clear()
    seen.revocations = new Set(seen.durableRevocations)
  }

  restarted(node: number, { standpoint }: TrustNode): void {
    const { taken } = this.#seenBy(node)
    for (const issuer of standpoint.replica.issuers) {
      for (const { id } of kept(standpoint.replica.log(issuer))) taken.add(id)
    }
    this.#requireRevocations(node, standpoint, () => true)
  }

  /** After each event: whatever changed is looked at. */
  check(node: number, { standpoint }: TrustNode): void {
    const { changed } = this.#seenBy(node)
    if (changed.size === 0) return
    for (const issuer of changed) this.#checkLog(node, standpoint.replica.log(issuer))
    this.#requireRevocations(node, standpoint, (issuer) => changed.has(issuer))
    changed.clear()
  }

  /** Everything once more. */
  finish(node: number, { standpoint }: TrustNode): void {
    for (const issuer of standpoint.replica.issuers) this.#checkLog(node, standpoint.replica.log(issuer))
    this.#requireRevocations(node, standpoint, () => true)
  }

  #note(node: number, added: readonly TrustUpdate[]): void {
    const seen = this.#seenBy(node)
    for (const update of added) {
      seen.taken.add(update.id)
      seen.changed.add(update.issuer)
      if (update.statement.kind === 'revoke') seen.revocations.add(`${update.issuer}/${update.statement.subject}`)
      this.#requireReal(node, update)
    }
  }

  /** Signed by its issuer, and by an honest one only what that node meant to say. */
  #requireReal(node: number, update: TrustUpdate): void {
    const { id, issuer, bytes } = update
    if (this.#honest.has(issuer) && !this.#signed.has(id)) this.#violate(node, `took a forgery: ${named(update)}`)
    if (this.#verified.has(id)) return
    this.#verified.add(id)
    const [, body, signature] = decodeCanonical(bytes) as [string, Uint8Array, Uint8Array]
    if (!this.#world.verify(UPDATE_PURPOSE, body, signature, bytesOf(issuer))) {
      this.#violate(node, `took what its issuer did not sign: ${named(update)}`)
    }
  }

  /** Links in order, and of each subject the last word. */
  #checkLog(node: number, log: IssuerLog | undefined): void {
    if (log === undefined) return
    const last = new Map<Key, TrustUpdate>()
    let previous = NO_PREVIOUS
    for (const [at, update] of log.chain.entries()) {
      if (update.sequence !== at + 1 || update.previous !== previous) {
        this.#violate(node, `keeps ${named(update)} out of its place`)
      }
      previous = update.id
      last.set(update.statement.subject, update)
    }
    if (log.isForked && this.#honest.has(log.issuer)) this.#violate(node, `sees a fork of honest ${short(log.issuer)}`)
    for (const [subject, { statement }] of last) {
      const isOver = log.isForked || log.revocationOf(subject) !== undefined || statement.kind !== 'trust'
      if (log.trustIn(subject) !== (isOver ? undefined : statement)) {
        this.#violate(node, `goes by an old word of ${short(log.issuer)} on ${short(subject)}`)
      }
    }
  }

  #requireRevocations(node: number, { replica }: TrustNode['standpoint'], isWanted: (issuer: Key) => boolean): void {
    for (const name of this.#seenBy(node).revocations) {
      const [issuer = '', subject = ''] = name.split('/')
      if (!isWanted(issuer)) continue
      const log = replica.log(issuer)
      if (log?.revocationOf(subject) === undefined || log.trustIn(subject) !== undefined) {
        this.#violate(node, `undid the revocation of ${short(subject)} by ${short(issuer)}`)
      }
    }
  }

  #seenBy(node: number): Seen {
    const seen = this.#seen[node]
    if (seen === undefined) throw new RangeError(`no node ${node}`)
    return seen
  }

  #violate(node: number, what: string): void {
    this.#world.violate(`trust: node ${node} ${what}`)
  }
}

function kept(log: IssuerLog | undefined): readonly TrustUpdate[] {
  return log === undefined ? [] : [...log.chain, ...log.loose()]
}

function named({ issuer, sequence, id }: TrustUpdate): string {
  return `update ${sequence} of ${short(issuer)} (${short(id)})`
}

function short(key: Key): string {
  return key.slice(0, 8)
}
