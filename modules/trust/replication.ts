/** Trust updates between nodes: carries what protocols/trust/exchange.ts asks and answers, and keeps what it took. */
import { deadline, isNzError } from '../../kernel/index.ts'
import { TrustExchange } from '../../protocols/trust/exchange.ts'
import { RECONCILE_METHOD } from '../../protocols/trust/reconcile-messages.ts'
import { networkEvents } from '../network/service.ts'
import { peerIdOfKey } from './peer-key.ts'
import { Refusals } from './refusals.ts'
import { trustErrors, trustEvents, trustLevels } from './service.ts'
import type { Clock, EventBus, Logger, Random, Timer } from '../../kernel/index.ts'
import type { Asking } from '../../protocols/trust/exchange.ts'
import type { Receipt } from '../../protocols/trust/replica.ts'
import type { TrustUpdate } from '../../protocols/trust/update.ts'
import type { NetworkService } from '../network/service.ts'
import type { TrustLedger } from './ledger.ts'
import type { LevelName, Reconciled, TrustAct } from './service.ts'

/** For one request of a reconciliation. */
export const REQUEST_TIMEOUT_MS = 30_000

export interface ReplicationServices {
  readonly ledger: TrustLedger
  readonly network: Pick<NetworkService, 'peers' | 'peer' | 'request' | 'handleRequests'>
  readonly events: EventBus
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly may: (peerId: string, act: TrustAct) => boolean
  /** After a restore: peers have told what this node had said. */
  readonly onOwnLogHeard: () => void
}

export class Replication {
  readonly #services: ReplicationServices
  readonly #signal: AbortSignal
  readonly #exchange: TrustExchange
  /** Who waits for the end of a reconciliation, by peer. */
  readonly #waiting = new Map<string, PromiseWithResolvers<Reconciled>>()
  readonly #refusals = new Refusals()
  #timer: Timer | null = null

  constructor(services: ReplicationServices, { signal }: { readonly signal: AbortSignal }) {
    const { ledger, clock, random, may } = services
    this.#services = services
    this.#signal = signal
    this.#exchange = new TrustExchange({
      standpoint: ledger.standpoint,
      clock,
      random,
      may: (peer) => may(peer, 'replicate'),
    })
  }

  start(): void {
    const { network, events } = this.#services
    const signal = this.#signal
    network.handleRequests(RECONCILE_METHOD, async (payload, { peerId }) => await this.#answer(payload, peerId), {
      signal,
    })
    events.on(networkEvents.peerConnected, ({ peerId }) => this.#drive(() => this.#exchange.connected(peerId)), {
      signal,
    })
    events.on(networkEvents.peerDisconnected, ({ peerId }) => this.#drive(() => this.#lost(peerId)), { signal })
    for (const { peerId, state } of network.peers()) if (state === 'connected') this.#exchange.connected(peerId)
    this.#drive()
    signal.addEventListener('abort', () => {
      this.#timer?.cancel()
      for (const waiting of this.#waiting.values()) waiting.reject(signal.reason)
      this.#waiting.clear()
    })
  }

  /** Tells connected peers of an update that is durable here. */
  announce(update: TrustUpdate): void {
    this.#drive(() => this.#exchange.announce(update, null))
  }

  /** How often each code was told to peers, or found in what they answered, since the start. */
  refused(): Readonly<Record<string, number>> {
    return this.#refusals.counts()
  }

  /** @throws NZ_TRUST_NOT_ALLOWED, NZ_TRUST_PROTOCOL, NZ_NETWORK_… */
  async reconcile(peerId: string, { signal }: { readonly signal: AbortSignal }): Promise<Reconciled> {
    signal.throwIfAborted()
    if (!this.#services.may(peerId, 'replicate')) throw trustErrors.NZ_TRUST_NOT_ALLOWED({ data: { peerId } })
    const waiting = this.#waiting.get(peerId) ?? Promise.withResolvers<Reconciled>()
    const { promise, reject } = Promise.withResolvers<never>()
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    if (!this.#waiting.has(peerId)) {
      this.#waiting.set(peerId, waiting)
      // Whoever waits may have given up.
      waiting.promise.catch(() => undefined)
      this.#drive(() => this.#exchange.reconcileNow(peerId))
    }
    try {
      return await Promise.race([waiting.promise, promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** Does `work`, sends what is to be asked after it, and sees to it that this happens again in time. */
  #drive(work?: () => void): void {
    if (this.#signal.aborted) return
    const { clock, ledger } = this.#services
    const wasUnsure = ledger.standpoint.ownLog === 'unsure'
    work?.()
    if (wasUnsure && ledger.standpoint.ownLog !== 'unsure') this.#services.onOwnLogHeard()
    for (const asking of this.#exchange.poll()) void this.#carry(asking)
    this.#timer?.cancel()
    const { wakeAtMs } = this.#exchange
    if (wakeAtMs === Infinity) return
    const delayMs = Math.max(0, wakeAtMs - clock.monotonicMs())
    this.#timer = clock.setTimer(delayMs, () => this.#drive(), { unref: true })
  }

  async #carry({ id, peer, payload }: Asking): Promise<void> {
    const exchange = this.#exchange
    try {
      const progress = exchange.answered(id, await this.#ask(peer, payload))
      if (progress === null) return
      await this.#keep(progress.receipts, peer)
      if (progress.state === 'broken') {
        this.#drive(() => exchange.taken(progress.receipts, peer))
        throw trustErrors.NZ_TRUST_PROTOCOL({ data: { peerId: peer } })
      }
      this.#drive(() => {
        const finished = exchange.proceed(id)
        if (finished === null) return
        const { received, sent } = finished
        if (received + sent > 0) this.#services.events.emit(trustEvents.reconciled, { peerId: peer, received, sent })
        this.#waiting.get(peer)?.resolve(finished)
        this.#waiting.delete(peer)
      })
    } catch (error) {
      this.#services.log.debug('trust.notExchanged', { peerId: peer, code: isNzError(error) ? error.code : null })
      this.#drive(() => {
        exchange.failed(id)
        this.#waiting.get(peer)?.reject(error)
        this.#waiting.delete(peer)
        if (this.#services.network.peer(peer)?.state !== 'connected') this.#lost(peer)
      })
    }
  }

  async #ask(peerId: string, payload: Uint8Array): Promise<Uint8Array> {
    const { network, clock } = this.#services
    using limit = deadline(clock, REQUEST_TIMEOUT_MS, { signal: this.#signal })
    return await network.request(peerId, RECONCILE_METHOD, payload, { signal: limit.signal })
  }

  async #answer(payload: Uint8Array, peerId: string): Promise<Uint8Array> {
    const answered = this.#exchange.answer(peerId, payload)
    if (answered.code !== null) {
      this.#refusals.add(answered.code)
      throw trustErrors[answered.code]()
    }
    await this.#keep(answered.receipts, peerId)
    // What the peer is told to be taken is durable.
    this.#drive(() => this.#exchange.taken(answered.receipts, peerId))
    return answered.payload
  }

  /** Makes durable what was taken, and tells this node of it. */
  async #keep(receipts: readonly Receipt[], from: string): Promise<void> {
    const { ledger, events, log } = this.#services
    try {
      await ledger.write(receipts)
    } catch (error) {
      this.#exchange.notKept(receipts)
      throw error
    }
    const refusals = new Map<string, number>()
    for (const { code, update, added } of receipts) {
      if (code === 'NZ_TRUST_FORKED' && update !== null) {
        events.emit(trustEvents.forked, { issuer: peerIdOfKey(update.issuer) })
        log.warn('trust.forked', { issuer: peerIdOfKey(update.issuer) })
      }
      for (const one of added) events.emit(trustEvents.changed, changeOf(one))
      if (code === null) continue
      this.#refusals.add(code)
      const hasNoEffect = added.length === 0 || code === 'NZ_TRUST_EXPIRED'
      if (hasNoEffect) refusals.set(code, (refusals.get(code) ?? 0) + 1)
    }
    // A known update is what two ways to one peer give all the time.
    refusals.delete('NZ_TRUST_REPLAYED')
    for (const [code, count] of refusals) events.emit(trustEvents.refused, { peerId: from, code, count })
  }

  #lost(peerId: string): void {
    this.#exchange.disconnected(peerId)
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
