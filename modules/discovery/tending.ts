/** Keeps the table alive: joins by whoever is known, surveys who there is, asks the silent, renews what this node has published. */
import { backoffDelayMs, isNzError } from '../../kernel/index.ts'
import { commonBits } from '../../protocols/discovery/distance.ts'
import { Survey } from '../../protocols/discovery/survey.ts'
import { discoveryEvents } from './service.ts'
import type { Clock, EventBus, Logger, Random, Timer } from '../../kernel/index.ts'
import type { Part } from '../../protocols/discovery/survey.ts'
import type { TableEntry } from '../../protocols/discovery/routing-table.ts'
import type { Dht } from './dht.ts'
import type { OpenedConnections } from './opened-connections.ts'
import type { OwnRecords } from './own-records.ts'
import type { Askable } from './query.ts'
import type { TableMemory } from './table-memory.ts'

/** Peers that are greeted at once when this node joins, and when it looks after the silent. */
const GREETED_AT_ONCE = 8
const MAX_INTRODUCERS = 64
/** Peers whose silence is looked into in a round that finds nobody gone. */
export const CHECKED_PER_ROUND = 4
/** Further batches of GREETED_AT_ONCE in one round, as long as a quarter of them is silent. */
const MAX_BATCHES = 32
/** Rounds to the next survey: as many again after each that has brought nobody. */
const MAX_ROUNDS_BETWEEN_SURVEYS = 32
/** Rounds to the next lookup for its own place. */
const ROUNDS_PER_LOOKUP = 32
/** Peers of one part that are asked until one answers. */
const ASKED_PER_PART = 2
/** Entries near a place among which one is chosen to ask. */
const NEAR = 8
/** How much sooner the next round comes when somebody was found gone. */
const HASTE = 6

export interface TendingServices {
  readonly dht: Dht
  readonly own: OwnRecords
  readonly opened: Pick<OpenedConnections, 'endIdle'>
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
  #roundsToSurvey = 0
  #roundsBetweenSurveys = 1
  #roundsToLookup = ROUNDS_PER_LOOKUP
  /** Peers that came into the table before this round. */
  #enteredBefore = 0
  #isHasty = false
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
    const { dht, own, opened, memory, clock, log } = this.#services
    const signal = this.#signal
    this.#timer = null
    this.#isHasty = false
    try {
      if (dht.table.size === 0) await this.#greetIntroducers()
      if (dht.table.size > 0) {
        if (this.#hasJoined) await this.#tend()
        else await this.#join()
        await own.renew({ signal })
        await memory.keep(dht.table)
      }
      opened.endIdle()
      dht.store.sweep(clock.nowMs())
    } catch (error) {
      if (signal.aborted) return
      if (!isNzError(error)) log.warn('discovery.roundFailed', { error })
      else log.debug('discovery.roundFailed', { error })
    }
    this.#schedule(this.#delayMs())
  }

  /** A lonely node tries again soon, then less often. */
  #delayMs(): number {
    const { dht, random } = this.#services
    const { intervalMs } = this.#options
    if (dht.table.size > 0) {
      this.#lonelyRounds = 0
      return (this.#isHasty ? intervalMs / HASTE : intervalMs) * (0.75 + random.unit() / 2)
    }
    this.#lonelyRounds += 1
    return Math.min(
      intervalMs,
      backoffDelayMs(this.#lonelyRounds, { firstDelayMs: 1_000, maxDelayMs: intervalMs, jitter: 0.25 }, random),
    )
  }

  async #greetIntroducers(): Promise<void> {
    const { introducers, memory } = this.#services
    this.#hasJoined = false
    const known = [...introducers(), ...(await memory.read())].slice(0, MAX_INTRODUCERS)
    await this.#greetAll(known.map((peer) => ({ peer })))
  }

  /** Finds its own neighbours, then others in each distance. */
  async #join(): Promise<void> {
    const { dht, events } = this.#services
    const signal = this.#signal
    await dht.walk(dht.self, { wantsRecords: false, signal })
    await this.#survey()
    this.#enteredBefore = dht.table.entered
    this.#roundsToSurvey = this.#roundsBetweenSurveys = 1
    this.#roundsToLookup = ROUNDS_PER_LOOKUP
    this.#hasJoined = true
    events.emit(discoveryEvents.joined, { tableSize: dht.table.size })
  }

  async #tend(): Promise<void> {
    const { dht } = this.#services
    await this.#checkSilent()
    if (this.#isHasty) return
    this.#roundsToSurvey -= 1
    this.#roundsToLookup -= 1
    const isNews = dht.table.entered > this.#enteredBefore
    if (isNews || this.#roundsToSurvey <= 0) {
      await this.#survey()
      const hasBrought = dht.table.entered > this.#enteredBefore
      this.#roundsBetweenSurveys = hasBrought ? 1 : Math.min(this.#roundsBetweenSurveys * 2, MAX_ROUNDS_BETWEEN_SURVEYS)
      this.#roundsToSurvey = this.#roundsBetweenSurveys
    }
    if (this.#roundsToLookup <= 0) {
      this.#roundsToLookup = ROUNDS_PER_LOOKUP
      await dht.walk(dht.self, { wantsRecords: false, signal: this.#signal })
    }
    this.#enteredBefore = dht.table.entered
  }

  /** Asks in each part of the space whoever stands there who else does: a lookup would ask everybody near its place. */
  async #survey(): Promise<void> {
    const { dht, random } = this.#services
    const survey = new Survey(dht.self, dht.table.depth(), {
      randomBytes: (count) => random.bytes(count),
      hasRoom: (bucket) => dht.table.hasRoom(bucket),
    })
    for (let part = survey.next(); part !== null && !this.#signal.aborted; part = survey.next()) {
      const tried = new Set<string>()
      for (let left = ASKED_PER_PART; left > 0; left--) {
        const peer = this.#oneOf(part, tried)
        if (peer === null) break
        tried.add(peer.peerId)
        const told = await dht.greet(askableOf(peer), { target: part.place, signal: this.#signal })
        if (told === null) continue
        survey.answered(told)
        break
      }
    }
  }

  /** Whom to ask of a part: one in it rather than a near one, one that is connected or proven rather than one unknown. */
  #oneOf({ place, bits }: Part, tried: ReadonlySet<string>): TableEntry | null {
    const { dht, random } = this.#services
    const near = dht.table.closest(place, NEAR).filter(({ peerId }) => !tried.has(peerId))
    const there = near.filter((entry) => commonBits(entry.place, place) >= bits)
    const proven = there.filter(({ state }) => state === 'proven')
    const connected = proven.filter(({ peerId }) => dht.isConnected(peerId))
    const able = [connected, proven, there].find(({ length }) => length > 0)
    return able?.[Math.floor(random.unit() * able.length)] ?? near[0] ?? null
  }

  /**
   * Looks after the silent, and hears of whoever is new beside them. Where many are gone, all are asked that were not
   * heard of since the last round; but not while nobody at all is connected, when rather this node has lost its network.
   */
  async #checkSilent(): Promise<void> {
    const { dht, clock } = this.#services
    const { idleMs, intervalMs } = this.#options
    const isConnected = (peerId: string): boolean => dht.isConnected(peerId)
    for (let batch = 0; batch <= MAX_BATCHES && !this.#signal.aborted; batch++) {
      const isUrgent = batch > 0
      const silent = dht.table.idle(clock.monotonicMs(), {
        idleMs: isUrgent ? Math.min(intervalMs, idleMs) : idleMs,
        count: isUrgent ? GREETED_AT_ONCE : CHECKED_PER_ROUND,
        isConnected,
        isUrgent,
      })
      const answers = await this.#greetAll(silent.map((entry) => ({ peer: askableOf(entry), target: entry.place })))
      const gone = answers.filter((isThere) => !isThere).length
      if (gone > 0) this.#isHasty = dht.table.entries().some(({ peerId }) => isConnected(peerId))
      if (gone === 0 || gone * 4 < answers.length || !this.#isHasty) return
    }
  }

  async #greetAll(
    greetings: readonly { readonly peer: Askable; readonly target?: TableEntry['place'] }[],
  ): Promise<readonly boolean[]> {
    const { dht } = this.#services
    const signal = this.#signal
    const answers: boolean[] = []
    for (let at = 0; at < greetings.length && !signal.aborted; at += GREETED_AT_ONCE) {
      const some = greetings.slice(at, at + GREETED_AT_ONCE)
      answers.push(
        ...(await Promise.all(
          some.map(async ({ peer, target = dht.self }) => (await dht.greet(peer, { target, signal })) !== null),
        )),
      )
    }
    return answers
  }
}

function askableOf({ peerId, record: { content } }: TableEntry): Askable {
  return { peerId, addresses: content.kind === 'peer' ? content.addresses : [] }
}
