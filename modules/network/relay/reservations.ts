/** Places at relays: reserved, renewed before they expire, and again elsewhere or later when a relay is lost. */
import { deadline, isNzError, sleep } from '../../../kernel/index.ts'
import { decodeHop, encodeHop, HOP_PROTOCOL, STATUS } from '../../../protocols/circuit/messages.ts'
import { BackOff } from '../back-off.ts'
import { networkErrors, pathErrors } from '../service.ts'
import { MessageStream } from './message-stream.ts'
import type { Clock, Logger, Random } from '../../../kernel/index.ts'
import type { CircuitLimit } from '../../../protocols/circuit/messages.ts'
import type { NetworkService, RelayInUse } from '../service.ts'

const RESERVE_TIMEOUT_MS = 15_000
const FIRST_DELAY_MS = 1_000
const MAX_DELAY_MS = 60_000
/** Before its end a reservation is renewed, so long that a few failures do no harm. */
const RENEW_AT_SHARE = 0.6
/** The relay has answered, and not with a place. */
const REFUSALS = new Set<string>(['NZ_NETWORK_RELAY_FULL', 'NZ_NETWORK_RELAY_REFUSED'])
/** Relays held at a time; each is a connection that is kept. */
export const MAX_RELAYS = 8
/** Reservations wanted of contacts: one that is lost leaves one. */
export const RELAYS_OF_CONTACTS = 2

export interface ReservationsServices extends Pick<NetworkService, 'openStream'> {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Connects directly, from the listening port where that is possible; returns at once when that is so already. */
  readonly connect: (peerId: string, addresses: readonly string[], signal: AbortSignal) => Promise<void>
  /** Resolves when no direct connection to the peer is left. */
  readonly lost: (peerId: string, signal: AbortSignal) => Promise<void>
  /** Multiaddr of the direct connection to the peer; `null` without one. */
  readonly addressOf: (peerId: string) => string | null
  /** Binary multiaddrs as text; what cannot be read is left out. */
  readonly textsOf: (addresses: readonly Uint8Array[]) => readonly string[]
  /** Told when a place was gained or lost. */
  readonly onChange: () => void
}

interface Held {
  readonly stop: AbortController
  readonly isConfigured: boolean
  readonly addresses: readonly string[]
  state: RelayInUse['state']
  code: string | null
  expiresAtMs: number | null
  limit: CircuitLimit | null
  relayAddresses: readonly string[]
}

export class Reservations {
  readonly #services: ReservationsServices
  readonly #held = new Map<string, Held>()

  constructor(services: ReservationsServices) {
    this.#services = services
  }

  /** Holds a place at the relay until `release` or `stop`; further calls for it change nothing. Bounded by MAX_RELAYS. */
  hold(peerId: string, addresses: readonly string[], { isConfigured }: { readonly isConfigured: boolean }): void {
    if (this.#held.has(peerId) || this.#held.size >= MAX_RELAYS) return
    const held: Held = {
      stop: new AbortController(),
      isConfigured,
      addresses,
      state: 'trying',
      code: null,
      expiresAtMs: null,
      limit: null,
      relayAddresses: [],
    }
    this.#held.set(peerId, held)
    void this.#run(peerId, held)
  }

  release(peerId: string): void {
    this.#held.get(peerId)?.stop.abort()
    if (this.#held.delete(peerId)) this.#services.onChange()
  }

  stop(): void {
    for (const peerId of this.#held.keys()) this.release(peerId)
  }

  has(peerId: string): boolean {
    return this.#held.get(peerId)?.state === 'reserved'
  }

  /** Peers at which a place is held or asked for beyond what is configured. */
  get ofContacts(): number {
    return [...this.#held.values()].filter(({ isConfigured }) => !isConfigured).length
  }

  /** Where others reach this node through its relays; without its own peer id. */
  addresses(): readonly string[] {
    return [...this.#held].flatMap(([peerId, { state, relayAddresses }]) =>
      state === 'reserved' ? relayAddresses.map((address) => circuitAddress(address, peerId)) : [],
    )
  }

  report(): readonly RelayInUse[] {
    return [...this.#held].map(([peerId, { state, code, expiresAtMs, limit, isConfigured }]) => ({
      peerId,
      state,
      code,
      expiresAtMs,
      isConfigured,
      circuitSeconds: limit?.seconds ?? null,
      circuitBytes: limit?.bytes == null ? null : Number(limit.bytes),
    }))
  }

  async #run(peerId: string, held: Held): Promise<void> {
    const { clock, random, log, onChange } = this.#services
    const { signal } = held.stop
    const backOff = new BackOff({ firstDelayMs: FIRST_DELAY_MS, maxDelayMs: MAX_DELAY_MS, unit: () => random.unit() })
    while (!signal.aborted) {
      try {
        await this.#reserve(peerId, held)
        backOff.succeeded()
        await this.#untilRenewal(peerId, held)
        continue
      } catch (error) {
        if (signal.aborted) return
        const code = isNzError(error) ? error.code : 'NZ_NETWORK_UNREACHABLE'
        log.debug('network.relayNotReserved', { peerId, code, error })
        Object.assign(held, { state: REFUSALS.has(code) ? 'refused' : 'trying', code })
        onChange()
      }
      await sleep(clock, backOff.failed(), { signal }).catch(() => undefined)
    }
  }

  /** @throws NZ_NETWORK_RELAY_FULL, NZ_NETWORK_RELAY_REFUSED, and what connecting and streams throw */
  async #reserve(peerId: string, held: Held): Promise<void> {
    const { clock, connect, openStream, addressOf, textsOf, onChange } = this.#services
    using limit = deadline(clock, RESERVE_TIMEOUT_MS, {
      signal: held.stop.signal,
      reason: () => networkErrors.NZ_NETWORK_TIMEOUT({ data: { peerId } }),
    })
    await connect(peerId, held.addresses, limit.signal)
    const messages = new MessageStream(await openStream(peerId, HOP_PROTOCOL, { signal: limit.signal }))
    try {
      await messages.write(encodeHop({ type: 'reserve' }), limit.signal)
      const bytes = await messages.read(limit.signal)
      const answer = bytes === null ? null : decodeHop(bytes)
      if (answer?.type === 'status' && answer.status === STATUS.reservationRefused)
        throw pathErrors.NZ_NETWORK_RELAY_FULL({ data: { peerId } })
      if (answer?.type !== 'status' || answer.status !== STATUS.ok || answer.reservation === null)
        throw networkErrors.NZ_NETWORK_RELAY_REFUSED({
          why: `it answered ${answer?.type === 'status' ? answer.status : 'something else'}`,
          data: { peerId },
        })
      Object.assign(held, {
        state: 'reserved',
        code: null,
        expiresAtMs: answer.reservation.expiresAtS * 1_000,
        limit: answer.limit,
        relayAddresses: relayAddressesOf(addressOf(peerId), textsOf(answer.reservation.addresses)),
      } satisfies Partial<Held>)
      onChange()
      await messages.stream.close({ signal: limit.signal })
    } catch (error) {
      messages.stream.reset()
      throw error
    }
  }

  async #untilRenewal(peerId: string, held: Held): Promise<void> {
    const { clock, lost, onChange } = this.#services
    const leftMs = Math.max(FIRST_DELAY_MS, (held.expiresAtMs ?? 0) - clock.nowMs())
    const waited = new AbortController()
    const signal = AbortSignal.any([held.stop.signal, waited.signal])
    try {
      const isLost = await Promise.race([
        sleep(clock, leftMs * RENEW_AT_SHARE, { signal }).then(() => false),
        lost(peerId, signal).then(() => true),
      ])
      if (!isLost) return
      Object.assign(held, { state: 'trying', code: null, expiresAtMs: null, limit: null, relayAddresses: [] })
      onChange()
    } finally {
      waited.abort()
    }
  }
}

/** The address this node reaches the relay at comes first: others may see it the same way. */
function relayAddressesOf(own: string | null, told: readonly string[]): readonly string[] {
  const plain = (address: string): string => address.replace(/\/p2p\/[^/]+$/, '')
  const isElsewhere = (address: string): boolean => !/^\/ip4\/127\.|^\/ip6\/::1\/|\/p2p-circuit/.test(address)
  const addresses = [...(own === null ? [] : [own]), ...told.filter(isElsewhere)].map(plain)
  return [...new Set(addresses)].slice(0, MAX_ADDRESSES_PER_RELAY)
}

/** Of each relay as many addresses are told to others: they all lead to the same place. */
const MAX_ADDRESSES_PER_RELAY = 4

function circuitAddress(relayAddress: string, relayPeerId: string): string {
  return `${relayAddress}/p2p/${relayPeerId}/p2p-circuit`
}
