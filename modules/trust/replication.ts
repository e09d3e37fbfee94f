/** Trust updates between nodes: reconciliation with each connected peer, new updates pushed at once (NZ-TRUST-01 §5). */
import { deadline, isNzError } from '../../kernel/index.ts'
import { answerReconcile } from '../../protocols/trust/answer.ts'
import {
  decodeAnswer,
  decodeRequest,
  encodeAnswer,
  encodeRequest,
  MAX_PUSHED,
  RECONCILE_METHOD,
} from '../../protocols/trust/reconcile-messages.ts'
import { Reconciliation } from '../../protocols/trust/reconciliation.ts'
import { networkEvents } from '../network/service.ts'
import { peerIdOfKey } from './peer-key.ts'
import { RequestRate } from './request-rate.ts'
import { trustErrors, trustEvents, trustLevels } from './service.ts'
import type { Clock, EventBus, Logger, Random, Timer } from '../../kernel/index.ts'
import type { ReconcileAnswer, ReconcileRequest } from '../../protocols/trust/reconcile-messages.ts'
import type { Receipt } from '../../protocols/trust/replica.ts'
import type { Key, TrustUpdate } from '../../protocols/trust/update.ts'
import type { NetworkService } from '../network/service.ts'
import type { TrustLedger } from './ledger.ts'
import type { LevelName, Reconciled, TrustAct } from './service.ts'

/** For one request of a reconciliation. */
export const REQUEST_TIMEOUT_MS = 30_000
/** Between two reconciliations with a peer that stays connected; live pushes carry what is new in between. */
export const RECONCILE_EVERY_MS = 300_000
/** Reconciliations at once that this node asks for. */
export const MAX_RECONCILING = 4
/** Updates that wait to be pushed; beyond it the next reconciliation carries them. */
export const MAX_TO_PUSH = 4_096
/** Issuers whose updates a peer does not follow that are remembered, in all. */
export const MAX_REFUSED = 16_384

export interface ReplicationServices {
  readonly ledger: TrustLedger
  readonly network: Pick<NetworkService, 'peers' | 'peer' | 'request' | 'handleRequests'>
  readonly events: EventBus
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly may: (peerId: string, act: TrustAct) => boolean
}

export class Replication {
  readonly #services: ReplicationServices
  readonly #rate: RequestRate
  readonly #signal: AbortSignal
  /** Under way or waiting, by peer. */
  readonly #reconciling = new Map<string, Promise<Reconciled>>()
  #running = 0
  readonly #turns: (() => void)[] = []
  readonly #timers = new Map<string, Timer>()
  /** `peer/issuer` that the peer refused. */
  readonly #refused = new Set<string>()
  /** New updates and whom each came from. */
  #toPush: { readonly update: TrustUpdate; readonly from: string | null }[] = []
  #isPushing = false

  constructor(services: ReplicationServices, { signal }: { readonly signal: AbortSignal }) {
    this.#services = services
    this.#signal = signal
    this.#rate = new RequestRate(services.clock)
  }

  start(): void {
    const { network, events } = this.#services
    const signal = this.#signal
    network.handleRequests(RECONCILE_METHOD, async (payload, { peerId }) => await this.#answer(payload, peerId), {
      signal,
    })
    events.on(networkEvents.peerConnected, ({ peerId }) => this.#schedule(peerId, this.#jitter(1_000)), { signal })
    events.on(networkEvents.peerDisconnected, ({ peerId }) => this.#forget(peerId), { signal })
    for (const { peerId, state } of network.peers())
      if (state === 'connected') this.#schedule(peerId, this.#jitter(1_000))
    signal.addEventListener('abort', () => {
      for (const timer of this.#timers.values()) timer.cancel()
      this.#timers.clear()
    })
  }

  /** Tells connected peers of an update that is durable here. */
  announce(update: TrustUpdate, from: string | null = null): void {
    if (this.#toPush.length >= MAX_TO_PUSH) return
    this.#toPush.push({ update, from })
    if (!this.#isPushing) void this.#pushAll()
  }

  /** @throws NZ_TRUST_NOT_ALLOWED, NZ_TRUST_PROTOCOL, NZ_NETWORK_… */
  async reconcile(peerId: string, { signal }: { readonly signal: AbortSignal }): Promise<Reconciled> {
    const under = this.#reconciling.get(peerId)
    if (under !== undefined) return await under
    const run = this.#inTurn(async () => await this.#reconcileNow(peerId, AbortSignal.any([signal, this.#signal])))
    this.#reconciling.set(peerId, run)
    try {
      return await run
    } finally {
      this.#reconciling.delete(peerId)
    }
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= MAX_RECONCILING) await new Promise<void>((resolve) => this.#turns.push(resolve))
    this.#running += 1
    try {
      return await work()
    } finally {
      this.#running -= 1
      this.#turns.shift()?.()
    }
  }

  async #reconcileNow(peerId: string, signal: AbortSignal): Promise<Reconciled> {
    const { ledger, may, events } = this.#services
    if (!may(peerId, 'replicate')) throw trustErrors.NZ_TRUST_NOT_ALLOWED({ data: { peerId } })
    const receipts: Receipt[] = []
    const reconciliation = new Reconciliation({
      replica: ledger.replica,
      receive: (bytes) => {
        const receipt = ledger.receive(bytes)
        receipts.push(receipt)
        return receipt
      },
      isOfInterest: (issuer) => ledger.isOfInterest(issuer),
      isRefused: (issuer) => this.#refused.has(refusal(peerId, issuer)),
    })
    for (let request = reconciliation.next(); request !== null; request = reconciliation.next()) {
      const answer = await this.#ask(peerId, request, signal)
      if (answer === null || !reconciliation.accept(answer)) throw trustErrors.NZ_TRUST_PROTOCOL({ data: { peerId } })
      await this.#taken(receipts.splice(0), peerId)
    }
    for (const issuer of reconciliation.refused) {
      if (this.#refused.size < MAX_REFUSED) this.#refused.add(refusal(peerId, issuer))
    }
    const { received, sent } = reconciliation
    if (received + sent > 0) events.emit(trustEvents.reconciled, { peerId, received, sent })
    return { received, sent, isEqual: reconciliation.refused.size === 0 }
  }

  async #ask(peerId: string, request: ReconcileRequest, signal: AbortSignal): Promise<ReconcileAnswer | null> {
    const { network, clock } = this.#services
    using limit = deadline(clock, REQUEST_TIMEOUT_MS, { signal })
    return decodeAnswer(
      await network.request(peerId, RECONCILE_METHOD, encodeRequest(request), { signal: limit.signal }),
    )
  }

  async #answer(payload: Uint8Array, peerId: string): Promise<Uint8Array> {
    const { ledger, may } = this.#services
    if (!may(peerId, 'replicate')) throw trustErrors.NZ_TRUST_NOT_ALLOWED()
    if (!this.#rate.take(peerId)) throw trustErrors.NZ_TRUST_BUSY()
    const request = decodeRequest(payload)
    if (request === null) throw trustErrors.NZ_TRUST_PROTOCOL()
    const receipts: Receipt[] = []
    const answer = answerReconcile(ledger.replica, request, (bytes) => {
      const receipt = ledger.receive(bytes)
      receipts.push(receipt)
      return receipt
    })
    // What the peer is told to be taken is durable.
    await this.#taken(receipts, peerId)
    return encodeAnswer(answer)
  }

  async #taken(receipts: readonly Receipt[], from: string): Promise<void> {
    const { ledger, events, log } = this.#services
    await ledger.write(receipts)
    const refusals = new Map<string, number>()
    for (const { code, update, added } of receipts) {
      if (code === 'NZ_TRUST_FORKED' && update !== null) {
        events.emit(trustEvents.forked, { issuer: peerIdOfKey(update.issuer) })
        log.warn('trust.forked', { issuer: peerIdOfKey(update.issuer) })
      }
      for (const one of added) {
        events.emit(trustEvents.changed, changeOf(one))
        this.announce(one, from)
      }
      if (code !== null && added.length === 0) refusals.set(code, (refusals.get(code) ?? 0) + 1)
    }
    // A known update is what two ways to one peer give all the time.
    refusals.delete('NZ_TRUST_REPLAYED')
    for (const [code, count] of refusals) events.emit(trustEvents.refused, { peerId: from, code, count })
  }

  async #pushAll(): Promise<void> {
    this.#isPushing = true
    try {
      while (this.#toPush.length > 0 && !this.#signal.aborted) {
        const batch = this.#toPush.splice(0, MAX_PUSHED / 4)
        const peers = this.#services.network.peers().filter(({ state }) => state === 'connected')
        await Promise.all(peers.map(async ({ peerId }) => await this.#pushTo(peerId, batch)))
      }
    } finally {
      this.#isPushing = false
    }
  }

  async #pushTo(
    peerId: string,
    batch: readonly { readonly update: TrustUpdate; readonly from: string | null }[],
  ): Promise<void> {
    const { may, log } = this.#services
    const own = batch.filter(
      ({ update, from }) => from !== peerId && !this.#refused.has(refusal(peerId, update.issuer)),
    )
    if (own.length === 0 || !may(peerId, 'replicate')) return
    try {
      await this.#ask(peerId, { kind: 'push', updates: own.map(({ update }) => update.bytes) }, this.#signal)
    } catch (error) {
      // The next reconciliation carries them.
      log.debug('trust.notPushed', { peerId, code: isNzError(error) ? error.code : null })
    }
  }

  #schedule(peerId: string, delayMs: number): void {
    this.#timers.get(peerId)?.cancel()
    const run = (): void => {
      this.#timers.delete(peerId)
      if (this.#services.network.peer(peerId)?.state !== 'connected') return
      this.#schedule(peerId, RECONCILE_EVERY_MS + this.#jitter(RECONCILE_EVERY_MS / 4))
      if (!this.#services.may(peerId, 'replicate')) return
      this.reconcile(peerId, { signal: this.#signal }).catch((error: unknown) => {
        this.#services.log.debug('trust.notReconciled', { peerId, code: isNzError(error) ? error.code : null })
      })
    }
    this.#timers.set(peerId, this.#services.clock.setTimer(delayMs, run, { unref: true }))
  }

  #forget(peerId: string): void {
    this.#timers.get(peerId)?.cancel()
    this.#timers.delete(peerId)
    for (const refused of this.#refused) if (refused.startsWith(`${peerId}/`)) this.#refused.delete(refused)
  }

  #jitter(spanMs: number): number {
    return Math.floor(this.#services.random.unit() * spanMs)
  }
}

interface TrustChange {
  readonly issuer: string
  readonly subject: string
  readonly kind: 'trust' | 'withdraw' | 'revoke'
  readonly level: LevelName | null
}

/** What an update says, as an event. */
export function changeOf({ issuer, statement }: TrustUpdate): TrustChange {
  return {
    issuer: peerIdOfKey(issuer),
    subject: peerIdOfKey(statement.subject),
    kind: statement.kind,
    level: statement.kind === 'trust' ? trustLevels[statement.level] : null,
  }
}

function refusal(peerId: string, issuer: Key): string {
  return `${peerId}/${issuer}`
}
