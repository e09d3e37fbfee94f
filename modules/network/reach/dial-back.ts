/**
 * Whether somebody who is asked to can dial this node (AutoNAT v2), and the same done for others. A peer is dialled back
 * only at the host it is connected from: nobody can be made to dial a third party.
 */
import { deadline, isNzError, sleep } from '../../../kernel/index.ts'
import {
  decodeAutonat,
  decodeDialBack,
  DIAL,
  DIAL_BACK_PROTOCOL,
  DIAL_REQUEST_PROTOCOL,
  encodeAutonat,
  encodeDialBack,
  encodeDialBackResponse,
  RESPONSE,
} from '../../../protocols/autonat/messages.ts'
import { hostOf, transportOf } from '../address.ts'
import { isPublic } from '../public-hosts.ts'
import { MessageStream } from '../relay/message-stream.ts'
import { TokenBuckets } from '../token-buckets.ts'
import type { Clock, Logger, Random } from '../../../kernel/index.ts'
import type { AutonatMessage } from '../../../protocols/autonat/messages.ts'
import type { OpenPath } from '../paths.ts'
import type { NetworkService, PeerStream } from '../service.ts'

/** For the whole exchange; the dial within it has less. */
const EXCHANGE_TIMEOUT_MS = 15_000
/** Three SYNs go out in it. */
const DIAL_TIMEOUT_MS = 3_500
/** Peers asked; the one known longest goes first. */
export const MAX_HELPERS = 8
/** How long an outcome counts, and until the same peer is asked again for the same address. */
export const OUTCOME_AGE_MS = 1_800_000
const ASK_AGAIN_MS = 600_000
/** A peer that has answered nothing useful is left alone for a while. */
const SAME_AGAIN_MS = 120_000
/** How often it is looked whether there is something to ask: a router may have given a port meanwhile. */
const LOOK_INTERVAL_MS = 30_000
/** Of this node, told in one request. */
const MAX_CANDIDATES = 4
/** One silent peer may be one that cannot dial at all. */
const ENOUGH_FAILURES = 2

export const DIALS_PER_PEER = { perSecond: 1 / 20, burst: 4, maxKeys: 256 }
export const DIALS_TOGETHER = { perSecond: 1, burst: 20, maxKeys: 1 }

export interface DialBackServices extends Pick<NetworkService, 'openStream' | 'handleStreams'> {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Opens one more connection, from another port than the listening one; `null` when it does not come about. */
  readonly dial: (
    peerId: string,
    address: string,
    options: { timeoutMs: number; signal: AbortSignal },
  ) => Promise<OpenPath | null>
  readonly openStreamOn: (path: OpenPath, protocol: string, signal: AbortSignal) => Promise<PeerStream>
  /** Closes it once nothing moves over it. */
  readonly retire: (path: OpenPath) => void
  /** The public host that the peer is connected from directly; `null` without one. */
  readonly hostOfPeer: (peerId: string) => string | null
  /** Where this node might be reached, best first. */
  readonly candidates: () => readonly string[]
  readonly bytesOf: (addresses: readonly string[]) => readonly Uint8Array[]
  readonly textsOf: (addresses: readonly Uint8Array[]) => readonly string[]
}

interface Outcome {
  readonly host: string
  readonly atMs: number
  readonly isReached: boolean
}

/** Of the addresses others were asked to dial. */
export interface DialBackReport {
  readonly reached: readonly string[]
  /** Those that peers at several hosts could not dial, and none could. */
  readonly unreached: readonly string[]
  /** Peers whose answers count. */
  readonly helpers: number
}

export class DialBack {
  readonly #services: DialBackServices
  /** Outcomes by address, then by peer. Addresses that are candidates no longer are dropped. */
  readonly #outcomes = new Map<string, Map<string, Outcome>>()
  readonly #helpers = new Set<string>()
  /** Numbers told to peers, and whether they have come back on a connection. */
  readonly #nonces = new Map<bigint, { isBack: boolean }>()
  readonly #ofPeer = new TokenBuckets(DIALS_PER_PEER)
  readonly #together = new TokenBuckets(DIALS_TOGETHER)
  /** When each peer was asked last, and about what. */
  readonly #asked = new Map<string, { readonly atMs: number; readonly about: string }>()
  #asking: Promise<void> = Promise.resolve()
  #stopped: AbortSignal = AbortSignal.abort()

  constructor(services: DialBackServices) {
    this.#services = services
  }

  /** Asks and answers until `signal` aborts. */
  start(signal: AbortSignal): void {
    this.#stopped = signal
    const { handleStreams } = this.#services
    handleStreams(DIAL_REQUEST_PROTOCOL, async (stream) => await this.#answer(stream), { signal, maxStreamsPerPeer: 1 })
    handleStreams(DIAL_BACK_PROTOCOL, async (stream) => await this.#cameBack(stream), { signal, maxStreamsPerPeer: 2 })
    void this.#keep()
  }

  /** A peer that dials back when asked is connected directly. */
  met(peerId: string): void {
    this.#helpers.delete(peerId)
    this.#helpers.add(peerId)
    const [oldest] = this.#helpers
    if (this.#helpers.size > MAX_HELPERS && oldest !== undefined) {
      this.#helpers.delete(oldest)
      this.#asked.delete(oldest)
    }
    this.#look()
  }

  report(): DialBackReport {
    const current = new Set(this.#candidates())
    const fresh = [...this.#outcomes].flatMap(([address, byPeer]) =>
      current.has(address) ? [{ address, outcomes: [...byPeer.values()].filter((each) => this.#isFresh(each)) }] : [],
    )
    const isReached = (outcomes: readonly Outcome[]): boolean => outcomes.some((each) => each.isReached)
    const hosts = (outcomes: readonly Outcome[]): number => new Set(outcomes.map(({ host }) => host)).size
    return {
      reached: fresh.filter(({ outcomes }) => isReached(outcomes)).map(({ address }) => address),
      unreached: fresh
        .filter(({ outcomes }) => !isReached(outcomes) && hosts(outcomes) >= ENOUGH_FAILURES)
        .map(({ address }) => address),
      helpers: Math.max(0, ...fresh.map(({ outcomes }) => outcomes.length)),
    }
  }

  async #keep(): Promise<void> {
    const { clock } = this.#services
    while (!this.#stopped.aborted) {
      await sleep(clock, LOOK_INTERVAL_MS, { signal: this.#stopped }).catch(() => undefined)
      this.#look()
    }
  }

  /** One question after the other. */
  #look(): void {
    this.#asking = this.#asking.then(async () => {
      for (const peerId of this.#helpers) {
        if (this.#stopped.aborted) return
        await this.#ask(peerId).catch((error: unknown) => {
          this.#services.log.debug('network.dialBackFailed', { peerId, error })
          if (isNzError(error, 'NZ_NETWORK_PROTOCOL_UNKNOWN')) this.#helpers.delete(peerId)
        })
      }
    })
  }

  /** Asks for the first address about which this peer has said nothing lately. */
  async #ask(peerId: string): Promise<void> {
    const { clock, random, hostOfPeer, openStream, bytesOf } = this.#services
    const host = hostOfPeer(peerId)
    if (host === null) return
    const nowMs = clock.monotonicMs()
    const candidates = this.#candidates()
    for (const address of this.#outcomes.keys()) if (!candidates.includes(address)) this.#outcomes.delete(address)
    const wanted = candidates.filter((address) => {
      const said = this.#outcomes.get(address)?.get(peerId)
      return said === undefined || nowMs - said.atMs > ASK_AGAIN_MS
    })
    const [about, before] = [wanted.join(' '), this.#asked.get(peerId)]
    if (wanted.length === 0 || (before?.about === about && nowMs - before.atMs < SAME_AGAIN_MS)) return
    this.#asked.set(peerId, { atMs: nowMs, about })
    const nonce = Buffer.from(random.bytes(8)).readBigUInt64LE()
    const told = { isBack: false }
    using limit = deadline(clock, EXCHANGE_TIMEOUT_MS, { signal: this.#stopped })
    this.#nonces.set(nonce, told)
    const messages = new MessageStream(await openStream(peerId, DIAL_REQUEST_PROTOCOL, { signal: limit.signal }))
    try {
      await messages.write(encodeAutonat({ type: 'request', addresses: bytesOf(wanted), nonce }), limit.signal)
      const bytes = await messages.read(limit.signal)
      const answer = bytes === null ? null : decodeAutonat(bytes)
      // One that wants tens of kilobytes before it dials is not asked on: it sees this node elsewhere.
      if (answer?.type !== 'response' || answer.status !== RESPONSE.ok) return
      const address = wanted[answer.addressAt]
      if (address === undefined || (answer.dialStatus === DIAL.ok && !told.isBack)) return
      if (answer.dialStatus !== DIAL.ok && answer.dialStatus !== DIAL.dialError) return
      const byPeer = this.#outcomes.get(address) ?? new Map<string, Outcome>()
      this.#outcomes.set(address, byPeer)
      byPeer.delete(peerId)
      byPeer.set(peerId, {
        host,
        atMs: clock.monotonicMs(),
        isReached: answer.dialStatus === DIAL.ok,
      })
      const [oldest] = byPeer.keys()
      if (byPeer.size > MAX_HELPERS && oldest !== undefined) byPeer.delete(oldest)
    } finally {
      this.#nonces.delete(nonce)
      messages.stream.reset()
    }
  }

  async #cameBack(stream: PeerStream): Promise<void> {
    using limit = deadline(this.#services.clock, EXCHANGE_TIMEOUT_MS, { signal: this.#stopped })
    const messages = new MessageStream(stream)
    const bytes = await messages.read(limit.signal)
    const nonce = bytes === null ? null : decodeDialBack(bytes)
    const told = nonce === null ? undefined : this.#nonces.get(nonce)
    if (told === undefined) return stream.reset()
    told.isBack = true
    await messages.write(encodeDialBackResponse(), limit.signal)
  }

  async #answer(stream: PeerStream): Promise<void> {
    const { clock, textsOf, hostOfPeer } = this.#services
    const { peerId } = stream
    using limit = deadline(clock, EXCHANGE_TIMEOUT_MS, { signal: this.#stopped })
    const messages = new MessageStream(stream)
    const bytes = await messages.read(limit.signal)
    const request = bytes === null ? null : decodeAutonat(bytes)
    if (request?.type !== 'request') return stream.reset()
    const say = async (status: number, addressAt = 0, dialStatus: number = DIAL.unused): Promise<void> => {
      const response: AutonatMessage = { type: 'response', status, addressAt, dialStatus }
      await messages.write(encodeAutonat(response), limit.signal)
    }
    const nowMs = clock.monotonicMs()
    if (!this.#ofPeer.take(peerId, nowMs) || !this.#together.take('all', nowMs)) return await say(RESPONSE.rejected)
    const host = hostOfPeer(peerId)
    const addresses = request.addresses.map((each) => textsOf([each])[0] ?? '')
    const at = addresses.findIndex((address) => host !== null && hostOf(address) === host && isPublicTcp(address))
    const address = addresses[at]
    if (address === undefined) return await say(RESPONSE.refused)
    await say(RESPONSE.ok, at, await this.#dialBack(peerId, address, request.nonce, limit.signal))
  }

  async #dialBack(peerId: string, address: string, nonce: bigint, signal: AbortSignal): Promise<number> {
    const { dial, openStreamOn, retire, log } = this.#services
    const path = await dial(peerId, address, { timeoutMs: DIAL_TIMEOUT_MS, signal })
    if (path === null) return DIAL.dialError
    try {
      const messages = new MessageStream(await openStreamOn(path, DIAL_BACK_PROTOCOL, signal))
      await messages.write(encodeDialBack(nonce), signal)
      const isTaken = (await messages.read(signal)) !== null
      await messages.stream.close({ signal })
      return isTaken ? DIAL.ok : DIAL.dialBackError
    } catch (error) {
      log.debug('network.dialBackUnanswered', { peerId, error })
      return DIAL.dialBackError
    } finally {
      retire(path)
    }
  }

  #candidates(): readonly string[] {
    return [...new Set(this.#services.candidates().filter(isPublicTcp))].slice(0, MAX_CANDIDATES)
  }

  #isFresh({ atMs }: Outcome): boolean {
    return this.#services.clock.monotonicMs() - atMs <= OUTCOME_AGE_MS
  }
}

/** A peer's word must not make this node dial machines of its own network. */
function isPublicTcp(address: string): boolean {
  const host = hostOf(address)
  return (
    /^\/ip[46]\/[^/]+\/tcp\/\d+$/.test(address) && transportOf(address) === 'tcp' && host !== null && isPublic(host)
  )
}
