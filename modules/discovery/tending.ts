/** Keeps the table alive: joins by whoever is known, asks the silent, refreshes, renews what this node has published. */
import { backoffDelayMs, isNzError } from '../../kernel/index.ts'
import { commonBits, placeOf } from '../../protocols/discovery/distance.ts'
import { discoveryEvents } from './service.ts'
import type { Clock, EventBus, Logger, Random, Timer } from '../../kernel/index.ts'
import type { Place } from '../../protocols/discovery/distance.ts'
import type { Dht } from './dht.ts'
import type { OwnRecords } from './own-records.ts'
import type { Askable } from './query.ts'
import type { TableMemory } from './table-memory.ts'

/** Peers that are greeted at once when this node joins, and when it looks after the silent. */
const GREETED_AT_ONCE = 8
const MAX_INTRODUCERS = 64
/** Peers whose silence is looked into in one round. */
const CHECKED_PER_ROUND = 8
/** Rounds between two lookups for somewhere. */
const ROUNDS_PER_REFRESH = 5
/** Buckets that a new node fills by a lookup. */
const MAX_FIRST_REFRESHES = 8

export interface TendingServices {
  readonly dht: Dht
  readonly own: OwnRecords
  readonly memory: TableMemory
  /** Bootstrap nodes and contacts: who is asked when nobody else is known. */
  readonly introducers: () => readonly Askable[]
  readonly clock: Clock
  readonly random: Random
  readonly events: EventBus
  readonly log: Logger
}

export interface TendingOptions {
  readonly intervalMs: number
  /** A peer that was not heard of for this long is asked whether it is there. */
  readonly idleMs: number
}

export class Tending {
  readonly #services: TendingServices
  readonly #options: TendingOptions
  readonly #signal: AbortSignal
  #timer: Timer | null = null
  #rounds = 0
  #lonelyRounds = 0
  #hasJoined = false

  constructor(services: TendingServices, options: TendingOptions, { signal }: { readonly signal: AbortSignal }) {
    this.#services = services
    this.#options = options
    this.#signal = signal
    signal.addEventListener('abort', () => this.#timer?.cancel(), { once: true })
  }

  start(): void {
    this.#schedule(0)
  }

  /** Somebody new is connected: a node that stands alone goes on at once. */
  wake(): void {
    if (!this.#hasJoined && this.#timer !== null) this.#schedule(0)
  }

  #schedule(delayMs: number): void {
    if (this.#signal.aborted) return
    this.#timer?.cancel()
    this.#timer = this.#services.clock.setTimer(delayMs, () => void this.#round(), { unref: true })
  }

  async #round(): Promise<void> {
    const { dht, own, memory, log } = this.#services
    const signal = this.#signal
    this.#timer = null
    try {
      if (dht.table.size === 0) await this.#greetIntroducers()
      if (dht.table.size > 0) {
        if (!this.#hasJoined) await this.#join()
        await this.#checkSilent()
        if (this.#rounds % ROUNDS_PER_REFRESH === ROUNDS_PER_REFRESH - 1) await this.#refreshOne()
        await own.renew({ signal })
        await memory.keep(dht.table)
      }
      dht.store.sweep(this.#services.clock.nowMs())
    } catch (error) {
      if (signal.aborted) return
      if (!isNzError(error)) log.warn('discovery.roundFailed', { error })
      else log.debug('discovery.roundFailed', { error })
    }
    this.#rounds += 1
    this.#schedule(this.#delayMs())
  }

  /** A lonely node tries again soon, then less often. */
  #delayMs(): number {
    const { dht, random } = this.#services
    const { intervalMs } = this.#options
    if (dht.table.size > 0) {
      this.#lonelyRounds = 0
      return intervalMs * (0.75 + random.unit() / 2)
    }
    this.#lonelyRounds += 1
    return Math.min(
      intervalMs,
      backoffDelayMs(this.#lonelyRounds, { firstDelayMs: 1_000, maxDelayMs: intervalMs, jitter: 0.25 }, random),
    )
  }

  async #greetIntroducers(): Promise<void> {
    const { dht, introducers, memory } = this.#services
    this.#hasJoined = false
    const known = [...introducers(), ...(await memory.read())].slice(0, MAX_INTRODUCERS)
    await this.#greetAll(known)
    if (dht.table.size === 0) return
    await this.#join()
  }

  /** Finds its own neighbours, then somebody in each distance. */
  async #join(): Promise<void> {
    const { dht, events } = this.#services
    const signal = this.#signal
    await dht.walk(dht.self, { wantsRecords: false, signal })
    for (let at = Math.min(dht.table.depth(), MAX_FIRST_REFRESHES) - 1; at >= 0; at--)
      await dht.walk(this.#placeAt(at), { wantsRecords: false, signal })
    this.#hasJoined = true
    events.emit(discoveryEvents.joined, { tableSize: dht.table.size })
  }

  async #checkSilent(): Promise<void> {
    const { dht, clock } = this.#services
    const silent = dht.table.idle(clock.monotonicMs(), { idleMs: this.#options.idleMs, count: CHECKED_PER_ROUND })
    await this.#greetAll(
      silent.map(({ peerId, record }) => ({
        peerId,
        addresses: record.content.kind === 'peer' ? record.content.addresses : [],
      })),
    )
  }

  async #refreshOne(): Promise<void> {
    const { dht, random } = this.#services
    const at = Math.floor(random.unit() * (dht.table.depth() + 1))
    await dht.walk(this.#placeAt(at), { wantsRecords: false, signal: this.#signal })
  }

  async #greetAll(peers: readonly Askable[]): Promise<void> {
    for (let at = 0; at < peers.length && !this.#signal.aborted; at += GREETED_AT_ONCE)
      await Promise.all(
        peers
          .slice(at, at + GREETED_AT_ONCE)
          .map(async (peer) => await this.#services.dht.greet(peer, { signal: this.#signal })),
      )
  }

  /** A random place that shares exactly `bits` leading bits with this node's. */
  #placeAt(bits: number): Place {
    const { dht, random } = this.#services
    const place = placeOf(random.bytes(32))
    for (let at = 0; at < 8; at++) {
      const first = at * 32
      if (first + 32 <= bits) place[at] = dht.self[at] ?? 0
      else if (first <= bits) {
        const own = dht.self[at] ?? 0
        const kept = bits - first
        const mask = kept === 0 ? 0 : (0xffff_ffff << (32 - kept)) >>> 0
        const flipped = (1 << (31 - kept)) >>> 0
        const rest = ((0xffff_ffff >>> kept) & ~flipped) >>> 0
        place[at] = ((own & mask) | (~own & flipped) | ((place[at] ?? 0) & rest)) >>> 0
      }
    }
    if (commonBits(place, dht.self) !== bits) throw new RangeError('the place is elsewhere')
    return place
  }
}
