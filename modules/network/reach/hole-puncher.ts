/**
 * From a relayed connection to a direct one (libp2p/specs relay/DCUtR.md): the two tell each other where they are seen,
 * and dial each other at the same time, from their listening ports, so that each NAT takes the other's packets for
 * answers. The one that was dialled through the relay leads.
 */
import { deadline, isNzError, sleep } from '../../../kernel/index.ts'
import { decodePunch, encodePunch, PUNCH_PROTOCOL } from '../../../protocols/circuit/messages.ts'
import { hostOf, transportOf } from '../address.ts'
import { BackOff } from '../back-off.ts'
import { isPublic } from '../public-hosts.ts'
import { MessageStream } from '../relay/message-stream.ts'
import type { Clock, Logger, Random } from '../../../kernel/index.ts'
import type { OpenPath } from '../paths.ts'
import type { DirectTries, NetworkService, PeerStream } from '../service.ts'

const EXCHANGE_TIMEOUT_MS = 10_000
/** For both SYNs to cross, lost ones to be sent again, and the handshake. */
const PUNCH_TIMEOUT_MS = 4_000
/** A dial that needs no help is answered within a few round trips, or dropped. */
const PLAIN_DIAL_TIMEOUT_MS = 1_500
const PUNCHES_IN_A_ROW = 2
/** Longer than a NAT remembers a connection that did not come about: what is left of one try spoils the next. */
const FIRST_RETRY_MS = 300_000
const MAX_RETRY_MS = 1_800_000
/** Of a peer; a list is no reason to dial a network. */
const MAX_ADDRESSES = 4

export interface PunchDial {
  readonly isFromListeningPort: boolean
  /** Whether the peer dials at the same time. */
  readonly isPunch: boolean
  readonly initiator: boolean
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

export interface HolePuncherServices extends Pick<NetworkService, 'handleStreams'> {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly openStreamOn: (path: OpenPath, protocol: string, signal: AbortSignal) => Promise<PeerStream>
  /** Dials all addresses at once; whether a connection came about. Leaves its attempts in the ledger. */
  readonly dial: (peerId: string, addresses: readonly string[], options: PunchDial) => Promise<boolean>
  /** The relayed connection, opened by the peer, by which the two can agree; `null`: none, or a direct one is there. */
  readonly pathToUpgrade: (peerId: string) => OpenPath | null
  /** Where this node is seen from outside. */
  readonly ownAddresses: () => readonly string[]
  readonly bytesOf: (addresses: readonly string[]) => readonly Uint8Array[]
  readonly textsOf: (addresses: readonly Uint8Array[]) => readonly string[]
}

interface Upgrade {
  state: Omit<DirectTries, 'peerId'>
  /** Ends a pause between two tries. */
  wake: () => void
}

export class HolePuncher {
  readonly #services: HolePuncherServices
  readonly #upgrades = new Map<string, Upgrade>()
  #stopped: AbortSignal = AbortSignal.abort()

  constructor(services: HolePuncherServices) {
    this.#services = services
  }

  /** Answers peers, and tries to reach those directly that only relayed connections lead to, until `signal` aborts. */
  start(signal: AbortSignal): void {
    this.#stopped = signal
    this.#services.handleStreams(
      PUNCH_PROTOCOL,
      async (stream, options) => await this.#answer(stream, options.signal),
      {
        signal,
        maxStreamsPerPeer: 2,
      },
    )
  }

  /** The relayed peers that a direct connection is tried to. */
  upgrades(): readonly DirectTries[] {
    return [...this.#upgrades].map(([peerId, { state }]) => ({ peerId, ...state }))
  }

  /** A connection to the peer has come or gone: trying begins when only relayed ones are left, and ends when not. */
  pathsChanged(peerId: string): void {
    const isNeeded = !this.#stopped.aborted && this.#services.pathToUpgrade(peerId) !== null
    const running = this.#upgrades.get(peerId)
    if (running === undefined && isNeeded) void this.#upgrade(peerId)
    if (!isNeeded) running?.wake()
  }

  async #upgrade(peerId: string): Promise<void> {
    const { clock, random, log } = this.#services
    const backOff = new BackOff({ firstDelayMs: FIRST_RETRY_MS, maxDelayMs: MAX_RETRY_MS, unit: () => random.unit() })
    const path = (): OpenPath | null => (this.#stopped.aborted ? null : this.#services.pathToUpgrade(peerId))
    const upgrade: Upgrade = { state: { tries: 0, nextTryAtMs: null }, wake: () => undefined }
    this.#upgrades.set(peerId, upgrade)
    try {
      for (let tries = 0; path() !== null;) {
        for (let at = 0, over = path(); at < PUNCHES_IN_A_ROW && over !== null; at += 1, over = path()) {
          upgrade.state = { tries, nextTryAtMs: null }
          tries += 1
          try {
            await this.#lead(peerId, over)
          } catch (error) {
            log.debug('network.punchFailed', { peerId, tries, error })
            if (isNzError(error, 'NZ_NETWORK_PROTOCOL_UNKNOWN')) return
          }
        }
        if (path() === null) return
        const delayMs = backOff.failed()
        upgrade.state = { tries, nextTryAtMs: clock.nowMs() + delayMs }
        const woken = new AbortController()
        upgrade.wake = () => woken.abort()
        const signal = AbortSignal.any([this.#stopped, woken.signal])
        await sleep(clock, delayMs, { signal }).catch(() => undefined)
      }
    } finally {
      this.#upgrades.delete(peerId)
    }
  }

  async #lead(peerId: string, path: OpenPath): Promise<void> {
    const { clock, openStreamOn, dial } = this.#services
    using limit = deadline(clock, EXCHANGE_TIMEOUT_MS, { signal: this.#stopped })
    const { signal } = limit
    const messages = new MessageStream(await openStreamOn(path, PUNCH_PROTOCOL, signal))
    try {
      const askedMs = clock.monotonicMs()
      await messages.write(this.#introduction(), signal)
      const theirs = await this.#addressesFrom(messages, signal)
      const roundTripMs = clock.monotonicMs() - askedMs
      if (theirs === null) return
      // They may be reachable as they are; then nobody has to play the other's part. From another port: a mapping of the
      // listening port made now would let their next packet in, to the listener, and our NAT would not know the answer.
      const timeoutMs = PLAIN_DIAL_TIMEOUT_MS + 2 * roundTripMs
      const plain = { isFromListeningPort: false, isPunch: false, initiator: true, timeoutMs, signal: this.#stopped }
      if (theirs.length > 0 && (await dial(peerId, theirs, plain))) return
      await messages.write(encodePunch({ type: 'sync' }), signal)
      await sleep(clock, roundTripMs / 2, { signal })
      const punch = { isFromListeningPort: true, isPunch: true, timeoutMs: PUNCH_TIMEOUT_MS, signal: this.#stopped }
      await dial(peerId, theirs, { ...punch, initiator: false })
    } finally {
      messages.stream.reset()
    }
  }

  async #answer(stream: PeerStream, given: AbortSignal): Promise<void> {
    const messages = new MessageStream(stream)
    const { peerId } = stream
    using limit = deadline(this.#services.clock, EXCHANGE_TIMEOUT_MS, { signal: given })
    const theirs = await this.#addressesFrom(messages, limit.signal)
    if (theirs === null) return
    await messages.write(this.#introduction(), limit.signal)
    const bytes = await messages.read(limit.signal)
    if (bytes === null || decodePunch(bytes)?.type !== 'sync') return
    await this.#services.dial(peerId, theirs, {
      isFromListeningPort: true,
      isPunch: true,
      initiator: true,
      timeoutMs: PUNCH_TIMEOUT_MS,
      signal: this.#stopped,
    })
  }

  #introduction(): Uint8Array {
    const { ownAddresses, bytesOf } = this.#services
    return encodePunch({ type: 'connect', addresses: bytesOf(ownAddresses().filter(isPublicTcp)) })
  }

  /** `null` when the peer says something else. */
  async #addressesFrom(messages: MessageStream, signal: AbortSignal): Promise<readonly string[] | null> {
    const bytes = await messages.read(signal)
    const message = bytes === null ? null : decodePunch(bytes)
    if (message?.type !== 'connect') return null
    return this.#services.textsOf(message.addresses).filter(isPublicTcp).slice(0, MAX_ADDRESSES)
  }
}

/** A peer's word must not make this node dial machines of its own network. */
function isPublicTcp(address: string): boolean {
  const host = hostOf(address)
  return /^\/ip[46]\//.test(address) && transportOf(address) === 'tcp' && host !== null && isPublic(host)
}
