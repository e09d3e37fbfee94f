/** Keeps the table alive: joins by whoever is known, asks the silent, refreshes, renews what this node has published. */
import { backoffDelayMs, isNzError } from '../../kernel/index.ts'
import { commonBits, placeOf } from '../../protocols/discovery/distance.ts'
import { discoveryEvents } from './service.ts'
import type { Clock, EventBus, Logger, Random, Timer } from '../../kernel/index.ts'
import type { Place } from '../../protocols/discovery/distance.ts'
import type { TableEntry } from '../../protocols/discovery/routing-table.ts'
import type { Dht } from './dht.ts'
import type { OwnRecords } from './own-records.ts'
import type { Askable } from './query.ts'
import type { TableMemory } from './table-memory.ts'

/** Peers that are greeted at once when this node joins, and when it looks after the silent. */
const GREETED_AT_ONCE = 8
const MAX_INTRODUCERS = 64
/** Peers whose silence is looked into in one round. */
const CHECKED_PER_ROUND = 8
/** Such batches in one round, as long as a quarter of them is silent. */
const MAX_BATCHES = 32
/** Intervals between two lookups for somewhere. */
const INTERVALS_PER_REFRESH = 5
/** Buckets that are filled when a node joins, and when there is news. */
const MAX_FILLED_BUCKETS = 8
/** Requests for one of them; two that bring nobody end it. */
const MAX_FILLING = 16
/** Unknown peers in one answer that show how much is missing; fewer are somebody who has just come. */
const MUCH_NEWS = 3
/** How much sooner the next round comes while the table changes. */
const HASTE = 6

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
  #lonelyRounds = 0
  #checkedAtMs = -Infinity
  #refreshedAtMs = -Infinity
  #isChanging = true
  #sizeBefore = 0
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
        else if ((await this.#fill(this.#anyBucket(), 1)) >= MUCH_NEWS) await this.#fillAll()
        if (this.#isDue(this.#checkedAtMs, 1)) await this.#checkSilent()
        if (this.#isDue(this.#refreshedAtMs, INTERVALS_PER_REFRESH)) await this.#refreshOne()
        await own.renew({ signal })
        await memory.keep(dht.table)
      }
      dht.store.sweep(this.#services.clock.nowMs())
    } catch (error) {
      if (signal.aborted) return
      if (!isNzError(error)) log.warn('discovery.roundFailed', { error })
      else log.debug('discovery.roundFailed', { error })
    }
    this.#isChanging = dht.table.size !== this.#sizeBefore
    this.#sizeBefore = dht.table.size
    this.#schedule(this.#delayMs())
  }

  /** A lonely node tries again soon, then less often. */
  #delayMs(): number {
    const { dht, random } = this.#services
    const { intervalMs } = this.#options
    if (dht.table.size > 0) {
      this.#lonelyRounds = 0
      return (this.#isChanging ? intervalMs / HASTE : intervalMs) * (0.75 + random.unit() / 2)
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

  /** Finds its own neighbours, then, by asking those, others in each distance. */
  async #join(): Promise<void> {
    const { dht, events } = this.#services
    const signal = this.#signal
    await dht.walk(dht.self, { wantsRecords: false, signal })
    await this.#fillAll()
    this.#checkedAtMs = this.#refreshedAtMs = this.#services.clock.monotonicMs()
    this.#hasJoined = true
    events.emit(discoveryEvents.joined, { tableSize: dht.table.size })
  }

  /**
   * Asks peers that are connected anyway who stands in a bucket: some requests, where a lookup would need connections to
   * everybody near a place. @returns how many came
   */
  async #fill(bucket: number, requests: number): Promise<number> {
    const { dht, random } = this.#services
    const sizeAtFirst = dht.table.size
    let inVain = 0
    for (let sent = 0; sent < requests && inVain < 2; sent++) {
      const proven = dht.table.entries().filter(({ state }) => state === 'proven')
      const connected = proven.filter(({ peerId }) => dht.isConnected(peerId))
      const able = connected.length > 0 ? connected : proven
      const peer = able[Math.floor(random.unit() * able.length)]
      if (peer === undefined || this.#signal.aborted) break
      const sizeBefore = dht.table.size
      await dht.greet(askableOf(peer), { target: this.#placeAt(bucket), signal: this.#signal })
      if (dht.table.size <= sizeBefore) inVain += 1
    }
    return dht.table.size - sizeAtFirst
  }

  async #fillAll(): Promise<void> {
    for (let at = Math.min(this.#services.dht.table.depth(), MAX_FILLED_BUCKETS) - 1; at >= 0; at--)
      await this.#fill(at, MAX_FILLING)
  }

  /**
   * Looks after the silent. Where many are gone, all are asked; but not while nobody at all is connected, when rather
   * this node has lost its network.
   */
  async #checkSilent(): Promise<void> {
    const { dht, clock } = this.#services
    const isConnected = (peerId: string): boolean => dht.isConnected(peerId)
    this.#checkedAtMs = clock.monotonicMs()
    for (let batch = 0; batch < MAX_BATCHES && !this.#signal.aborted; batch++) {
      const { idleMs } = this.#options
      const silent = dht.table.idle(clock.monotonicMs(), { idleMs, count: CHECKED_PER_ROUND, isConnected })
      const answers = await this.#greetAll(silent.map(askableOf))
      const gone = answers.filter((isThere) => !isThere).length
      if (gone === 0 || gone * 4 < answers.length) return
      if (!dht.table.entries().some(({ peerId }) => isConnected(peerId))) return
    }
  }

  async #refreshOne(): Promise<void> {
    this.#refreshedAtMs = this.#services.clock.monotonicMs()
    await this.#services.dht.walk(this.#placeAt(this.#anyBucket()), { wantsRecords: false, signal: this.#signal })
  }

  /** Whether `intervals` have passed, or nearly: rounds do not come to the millisecond. */
  #isDue(sinceMs: number, intervals: number): boolean {
    return this.#services.clock.monotonicMs() - sinceMs >= this.#options.intervalMs * (intervals - 0.5)
  }

  #anyBucket(): number {
    const { dht, random } = this.#services
    return Math.floor(random.unit() * (dht.table.depth() + 1))
  }

  async #greetAll(peers: readonly Askable[]): Promise<readonly boolean[]> {
    const answers: boolean[] = []
    for (let at = 0; at < peers.length && !this.#signal.aborted; at += GREETED_AT_ONCE)
      answers.push(
        ...(await Promise.all(
          peers
            .slice(at, at + GREETED_AT_ONCE)
            .map(async (peer) => await this.#services.dht.greet(peer, { signal: this.#signal })),
        )),
      )
    return answers
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

function askableOf({ peerId, record: { content } }: TableEntry): Askable {
  return { peerId, addresses: content.kind === 'peer' ? content.addresses : [] }
}
