/**
 * A relay for others (circuit relay v2, the "hop" side): peers reserve a place, others are connected to them through
 * this node, within bounds that are told to both. What passes is encrypted between the two ends.
 */
import { deadline } from '../../../kernel/index.ts'
import {
  decodeHop,
  decodeStop,
  encodeHop,
  encodeStop,
  HOP_PROTOCOL,
  STATUS,
  STOP_PROTOCOL,
} from '../../../protocols/circuit/messages.ts'
import { Circuit } from './circuit.ts'
import { MessageStream } from './message-stream.ts'
import { bytesOfPeerId, peerIdOfBytes } from './peer-id-bytes.ts'
import type { Clock, Logger } from '../../../kernel/index.ts'
import type { CircuitLimit, HopMessage, Status } from '../../../protocols/circuit/messages.ts'
import type { NetworkConfig } from '../config.ts'
import type { NetworkService, PeerStream, RelayServing } from '../service.ts'
import type { CircuitEnd } from './circuit.ts'

/** For the messages before bytes are carried. */
const EXCHANGE_TIMEOUT_MS = 15_000

export interface RelayServerServices extends Pick<NetworkService, 'handleStreams' | 'openStream'> {
  readonly clock: Clock
  readonly log: Logger
  /** Whether the peer is connected, and not through a relay. */
  readonly isDirect: (peerId: string) => boolean
  /** Multiaddrs of this node, binary. */
  readonly addresses: () => readonly Uint8Array[]
}

type StatusMessage = Extract<HopMessage, { type: 'status' }>

export class RelayServer {
  readonly #services: RelayServerServices
  readonly #options: NetworkConfig['relay']
  /** When the place of each peer expires. */
  readonly #reservations = new Map<string, number>()
  readonly #circuits = new Set<Circuit>()
  readonly #ends: Record<CircuitEnd, number> = { ended: 0, bytes: 0, seconds: 0, cut: 0 }
  #refused = 0
  #carriedBytes = 0

  constructor(services: RelayServerServices, options: NetworkConfig['relay']) {
    this.#services = services
    this.#options = options
  }

  /** Serves until `signal` aborts. */
  start(signal: AbortSignal): void {
    const { maxCircuitsPerPeer } = this.#options
    this.#services.handleStreams(HOP_PROTOCOL, async (stream, options) => await this.#answer(stream, options), {
      signal,
      maxStreamsPerPeer: maxCircuitsPerPeer + 2,
    })
  }

  report(): RelayServing {
    this.#sweep()
    const { maxReservations, maxCircuits, circuitSeconds, circuitBytes } = this.#options
    const openBytes = [...this.#circuits].reduce((sum, { bytes }) => sum + bytes, 0)
    return {
      reservations: this.#reservations.size,
      maxReservations,
      circuits: this.#circuits.size,
      maxCircuits,
      circuitSeconds,
      circuitBytes,
      carriedBytes: this.#carriedBytes + openBytes,
      refused: this.#refused,
      cutBySeconds: this.#ends.seconds,
      cutByBytes: this.#ends.bytes,
    }
  }

  async #answer(stream: PeerStream, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const near = new MessageStream(stream)
    using limit = deadline(this.#services.clock, EXCHANGE_TIMEOUT_MS, { signal })
    const message = await near.read(limit.signal)
    const request = message === null ? null : decodeHop(message)
    if (request === null) return await this.#refuse(near, STATUS.malformed, limit.signal)
    if (!this.#services.isDirect(stream.peerId)) return await this.#refuse(near, STATUS.permissionDenied, limit.signal)
    if (request.type === 'reserve') return await this.#reserve(near, limit.signal)
    if (request.type === 'connect') return await this.#connect(near, request.peer, { limit, signal })
    await this.#refuse(near, STATUS.unexpected, limit.signal)
  }

  async #reserve(near: MessageStream, signal: AbortSignal): Promise<void> {
    const { clock, log, addresses } = this.#services
    const { peerId } = near.stream
    this.#sweep()
    if (!this.#reservations.has(peerId) && this.#reservations.size >= this.#options.maxReservations)
      return await this.#refuse(near, STATUS.reservationRefused, signal)
    const expiresAtMs = clock.nowMs() + this.#options.reservationSeconds * 1_000
    this.#reservations.set(peerId, expiresAtMs)
    log.debug('network.relayReserved', { peerId })
    const reservation = { expiresAtS: Math.floor(expiresAtMs / 1_000), addresses: addresses() }
    await this.#say(near, { status: STATUS.ok, reservation, limit: this.#limit }, signal)
  }

  async #connect(
    near: MessageStream,
    peer: Uint8Array,
    { limit, signal }: { readonly limit: { readonly signal: AbortSignal } & Disposable; readonly signal: AbortSignal },
  ): Promise<void> {
    const from = near.stream.peerId
    const to = peerIdOfBytes(peer)
    const refusal = this.#refusalOf(from, to)
    if (to === null || refusal !== null) return await this.#refuse(near, refusal ?? STATUS.malformed, limit.signal)
    const { clock, log } = this.#services
    const circuit = new Circuit({ from, to, openedAtMs: clock.nowMs() }, this.#limit)
    // Counted from here on: many that wait for the far side are many.
    this.#circuits.add(circuit)
    let end: CircuitEnd = 'cut'
    try {
      const far = await this.#reach(to, from, limit.signal)
      if (far === null) return await this.#refuse(near, STATUS.connectionFailed, limit.signal)
      await this.#say(near, { status: STATUS.ok, reservation: null, limit: this.#limit }, limit.signal)
      limit[Symbol.dispose]()
      end = await circuit.carry(near, far, { clock, signal })
    } finally {
      this.#circuits.delete(circuit)
      this.#ends[end] += 1
      this.#carriedBytes += circuit.bytes
      log.debug('network.circuitEnded', { from, to, end, bytes: circuit.bytes })
    }
  }

  #refusalOf(from: string, to: string | null): Status | null {
    this.#sweep()
    if (to === null || !this.#reservations.has(to) || !this.#services.isDirect(to)) return STATUS.noReservation
    const { maxCircuits, maxCircuitsPerPeer } = this.#options
    const own = [...this.#circuits].filter((circuit) => circuit.from === from).length
    return this.#circuits.size >= maxCircuits || own >= maxCircuitsPerPeer ? STATUS.limitExceeded : null
  }

  /** The stream to the peer that has a place here, once it has agreed; `null` when it has not. */
  async #reach(to: string, from: string, signal: AbortSignal): Promise<MessageStream | null> {
    let stream: PeerStream
    try {
      stream = await this.#services.openStream(to, STOP_PROTOCOL, { signal })
    } catch (error) {
      this.#services.log.debug('network.circuitNotOpened', { from, to, error })
      return null
    }
    const far = new MessageStream(stream)
    try {
      await far.write(encodeStop({ type: 'connect', peer: bytesOfPeerId(from), limit: this.#limit }), signal)
      const message = await far.read(signal)
      const answer = message === null ? null : decodeStop(message)
      if (answer?.type === 'status' && answer.status === STATUS.ok) return far
    } catch (error) {
      this.#services.log.debug('network.circuitNotOpened', { from, to, error })
    }
    stream.reset()
    return null
  }

  get #limit(): CircuitLimit {
    const { circuitSeconds, circuitBytes } = this.#options
    return {
      seconds: circuitSeconds === 0 ? null : circuitSeconds,
      bytes: circuitBytes === 0 ? null : BigInt(circuitBytes),
    }
  }

  async #refuse(near: MessageStream, status: Status, signal: AbortSignal): Promise<void> {
    this.#refused += 1
    await this.#say(near, { status, reservation: null, limit: null }, signal)
  }

  async #say(near: MessageStream, message: Omit<StatusMessage, 'type'>, signal: AbortSignal): Promise<void> {
    await near.write(encodeHop({ type: 'status', ...message }), signal)
  }

  #sweep(): void {
    const nowMs = this.#services.clock.nowMs()
    for (const [peerId, expiresAtMs] of this.#reservations)
      if (expiresAtMs <= nowMs || !this.#services.isDirect(peerId)) this.#reservations.delete(peerId)
  }
}
