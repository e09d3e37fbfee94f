/** The service that others use: channels over streams and over paths, admitted by trust. */
import { isNzError } from '../../kernel/index.ts'
import { Endpoint } from '../../protocols/channel/endpoint.ts'
import { HandshakeGate } from '../../protocols/handshake/gate.ts'
import { peerIdOf, publicKeyOfPeerId } from '../../protocols/identity/id.ts'
import { codecFeatures } from '../../protocols/wire/compression.ts'
import { ChannelLedger } from './ledger.ts'
import { StreamMessageChannel } from './message-channel.ts'
import { openOverStream } from './opening.ts'
import { PathPacketChannel } from './packet-channel.ts'
import { channelsEvents, handshakeErrors } from './service.ts'
import { StreamCarrier } from './stream-carrier.ts'
import type { Clock, EventBus, Logger, Random } from '../../kernel/index.ts'
import type { HandshakeInit, InitiatorInit } from '../../protocols/handshake/handshake.ts'
import type { NetworkService } from '../network/service.ts'
import type { TrustAct, TrustService } from '../trust/service.ts'
import type { ChannelKeys } from './keys.ts'
import type { CarrierStream } from './stream-carrier.ts'
import type { AcceptMessages, ChannelsService, MessageChannel, PacketChannel } from './service.ts'

/** NZ-CHANNEL-01 §7. */
export const CHANNEL_PROTOCOL = '/nz/channel/1'
/** Channels of one peer at once, over streams that it has opened. */
export const MAX_STREAMS_PER_PEER = 32
const FEATURES = [...codecFeatures]

export interface ChannelsParts {
  readonly keys: ChannelKeys
  readonly network: {
    openStream(...args: Parameters<NetworkService['openStream']>): Promise<CarrierStream>
  }
  readonly trust: Pick<TrustService, 'may'>
  readonly events: EventBus
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

interface Served {
  readonly handler: AcceptMessages
  readonly act: TrustAct
  readonly signal: AbortSignal
}

interface Opening {
  readonly purpose: string
  readonly signal: AbortSignal
}

export class Channels implements ChannelsService {
  readonly #parts: ChannelsParts
  readonly #ledger = new ChannelLedger()
  readonly #gate: HandshakeGate
  readonly #served = new Map<string, Served>()
  /** What trust must go on to allow the peer of each. */
  readonly #open = new Map<MessageChannel | PacketChannel, TrustAct>()

  constructor(parts: ChannelsParts) {
    this.#parts = parts
    this.#gate = new HandshakeGate({ random: parts.random, nowMs: parts.clock.monotonicMs() })
  }

  async open(peerId: string, { purpose, signal }: Opening): Promise<MessageChannel> {
    const stream = await this.#parts.network.openStream(peerId, CHANNEL_PROTOCOL, { signal })
    try {
      const carrier = new StreamCarrier(stream)
      await carrier.writePurpose(purpose, { signal })
      return await this.#openStream(this.#asInitiator(peerId, purpose, false), carrier, { signal, act: 'connect' })
    } catch (error) {
      stream.reset()
      throw error
    }
  }

  accept(
    purpose: string,
    handler: AcceptMessages,
    { signal, act }: { readonly signal: AbortSignal; readonly act: TrustAct },
  ): void {
    if (this.#served.has(purpose)) throw new Error(`purpose is served already: ${purpose}`)
    this.#served.set(purpose, { handler, act, signal })
    signal.addEventListener('abort', () => this.#served.delete(purpose), { once: true })
  }

  async overPath(...[path, { purpose, signal, as }]: Parameters<ChannelsService['overPath']>): Promise<PacketChannel> {
    using _room = this.#ledger.reserve()
    const { clock, keys, events } = this.#parts
    const handshake =
      as.role === 'initiator' ? this.#asInitiator(as.peerId, purpose, true) : this.#asResponder(purpose, as.act, true)
    const channel = new PathPacketChannel({
      endpoint: new Endpoint({ handshake, tickets: keys.tickets }),
      path,
      clock,
      ledger: this.#ledger,
      onOpen: (session) => {
        const peerId = peerIdOf(session.peerKey)
        keys.pin(peerId, session)
        events.emit(channelsEvents.opened, { peerId, purpose, pattern: session.pattern })
        return peerId
      },
      admit: as.role === 'initiator' ? null : (packet, nowMs) => this.#gate.admit(path.source, packet, nowMs),
      onEnd: ({ peerId, epoch }) => {
        this.#open.delete(channel)
        if (peerId !== '') events.emit(channelsEvents.closed, { peerId, purpose, epoch })
      },
    })
    this.#open.set(channel, as.role === 'initiator' ? 'connect' : as.act)
    await channel.open({ signal })
    await this.#requireAllowed(channel)
    return channel
  }

  list(): ReturnType<ChannelsService['list']> {
    return this.#ledger.list()
  }

  /** Answers one stream of CHANNEL_PROTOCOL; ends with it. */
  async serve(stream: CarrierStream, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const carrier = new StreamCarrier(stream)
    const purpose = await carrier.readPurpose({ signal })
    const served = purpose === null ? undefined : this.#served.get(purpose)
    if (purpose === null || served === undefined) return stream.reset()
    const stop = AbortSignal.any([signal, served.signal])
    let channel: MessageChannel
    try {
      const { act } = served
      channel = await this.#openStream(this.#asResponder(purpose, act, false), carrier, { signal: stop, act })
    } catch (error) {
      if (!isNzError(error)) throw error
      this.#parts.events.emit(channelsEvents.refused, { peerId: stream.peerId, purpose, code: error.code })
      // In order, so that the peer reads why.
      return
    }
    try {
      await served.handler(channel, { signal: AbortSignal.any([stop, channel.signal]) })
    } finally {
      await channel.close()
    }
  }

  /** Closes the channels of peers whom trust does not allow them any more, and forgets their tickets. */
  async closeDistrusted(): Promise<void> {
    const { trust, keys } = this.#parts
    const distrusted = [...this.#open].filter(([{ peerId }, act]) => peerId !== '' && !trust.may(peerId, act))
    for (const [{ peerId }] of distrusted) {
      const peerKey = publicKeyOfPeerId(peerId)
      if (peerKey !== null) keys.tickets.forget(peerKey)
    }
    await Promise.all(distrusted.map(async ([channel]) => await channel.close()))
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#open.keys()].map(async (channel) => await channel.close()))
    this.#parts.keys.tickets.clear()
  }

  async #openStream(
    handshake: HandshakeInit,
    carrier: StreamCarrier,
    { signal, act }: { readonly signal: AbortSignal; readonly act: TrustAct },
  ): Promise<MessageChannel> {
    using _room = this.#ledger.reserve()
    const { clock, keys, log, events } = this.#parts
    const endpoint = new Endpoint({ handshake, tickets: keys.tickets })
    const { session, first } = await openOverStream(endpoint, carrier, { clock, signal })
    const peerId = peerIdOf(session.peerKey)
    keys.pin(peerId, session)
    const entry = this.#ledger.add({ endpoint, carrier: 'stream', openedAtMs: clock.nowMs(), peerId })
    const channel = new StreamMessageChannel({
      carrier,
      entry,
      session,
      clock,
      onEnd: () => {
        this.#ledger.remove(entry)
        this.#open.delete(channel)
        events.emit(channelsEvents.closed, { peerId, purpose: session.purpose, epoch: endpoint.epoch })
      },
    })
    this.#open.set(channel, act)
    events.emit(channelsEvents.opened, { peerId, purpose: session.purpose, pattern: session.pattern })
    channel.run(first).then(
      async () => await carrier.stream.close(),
      (error: unknown) => {
        if (!isNzError(error)) log.debug('channels.ended', { peerId, error })
        carrier.stream.reset()
      },
    )
    await this.#requireAllowed(channel)
    return channel
  }

  /** Trust may have changed while the channel was being opened. @throws NZ_HANDSHAKE_NOT_ALLOWED */
  async #requireAllowed(channel: MessageChannel | PacketChannel): Promise<void> {
    const act = this.#open.get(channel)
    if (act === undefined || this.#parts.trust.may(channel.peerId, act)) return
    await channel.close()
    throw handshakeErrors.NZ_HANDSHAKE_NOT_ALLOWED()
  }

  #asInitiator(peerId: string, purpose: string, resends: boolean): HandshakeInit {
    const expectedPeer = publicKeyOfPeerId(peerId)
    if (expectedPeer === null) throw handshakeErrors.NZ_HANDSHAKE_WRONG_PEER({ why: 'that is no Ed25519 peer id' })
    const { keys, clock } = this.#parts
    const ticket = keys.tickets.take(expectedPeer, purpose, clock.monotonicMs())
    const pinnedStatic = keys.pinned(peerId)
    return {
      ...this.#common(purpose, resends),
      role: 'initiator',
      expectedPeer,
      ...(ticket === null ? {} : { ticket }),
      ...(pinnedStatic === undefined ? {} : { pinnedStatic }),
    }
  }

  #asResponder(purpose: string, act: TrustAct, resends: boolean): HandshakeInit {
    const { keys, trust } = this.#parts
    const isAllowed = (peerKey: Uint8Array): boolean => trust.may(peerIdOf(peerKey), act)
    return { ...this.#common(purpose, resends), role: 'responder', tickets: keys.tickets, isAllowed }
  }

  #common(purpose: string, resends: boolean): Omit<InitiatorInit, 'role'> {
    const { keys, clock, random } = this.#parts
    const { identity, verify } = keys
    return { identity, verify, purpose, features: FEATURES, random, nowMs: clock.monotonicMs(), resends }
  }
}
