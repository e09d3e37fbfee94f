/**
 * Upgrades connections with fewer packets than libp2p's own upgrader: the encrypter agrees on itself in the same packets
 * in which it shakes hands, and the muxer is one of the handshake's (early muxer negotiation) or agreed on behind it.
 * libp2p's upgrader gets a connection that is secured, and does what is left. Same lines, same order, same meaning on the
 * wire: a peer that waits for each answer gets each answer.
 */
import { peerIdFromString } from '@libp2p/peer-id'
import { CODE_P2P } from '@multiformats/multiaddr'
import { deadline } from '../../kernel/index.ts'
import { Answer, Offer } from '../../protocols/multistream/negotiation.ts'
import { agree } from './agree.ts'
import { isNegotiating, negotiateAndSecure } from './noise/encrypter.ts'
import type {
  ClearableSignal,
  Connection,
  ConnectionEncrypter,
  MessageStream,
  MultiaddrConnection,
  StreamMuxerFactory,
  Transport,
  Upgrader,
  UpgraderOptions,
  UpgraderWithoutEncryptionOptions,
} from '@libp2p/interface'
import type { Clock } from '../../kernel/index.ts'
import type { NegotiatingEncrypter, Role } from './noise/encrypter.ts'

export interface JoinedUpgradeInit {
  readonly clock: Clock
  /** For a connection that came in, from its first byte to the agreed muxer. */
  readonly handshakeTimeoutMs: number
}

/** A transport whose connections are upgraded so. Where the upgrader is not as expected, libp2p's own way is taken. */
export function joinsUpgrades<Components>(
  create: (components: Components) => Transport,
  init: JoinedUpgradeInit,
): (components: Components) => Transport {
  return (components) => {
    const transport = create(components)
    const dial = transport.dial.bind(transport)
    const createListener = transport.createListener.bind(transport)
    transport.dial = async (address, options) =>
      await dial(address, { ...options, upgrader: joined(options.upgrader, init) })
    transport.createListener = (options) => createListener({ ...options, upgrader: joined(options.upgrader, init) })
    return transport
  }
}

const joinedUpgraders = new WeakMap<Upgrader, JoinedUpgrader>()

function joined(upgrader: Upgrader, init: JoinedUpgradeInit): Upgrader {
  const known = joinedUpgraders.get(upgrader)
  if (known !== undefined) return known
  const [encrypter, ...others] = upgrader.getConnectionEncrypters().values()
  if (others.length > 0 || !isNegotiating(encrypter)) return upgrader
  const made = new JoinedUpgrader(upgrader, encrypter, init)
  joinedUpgraders.set(upgrader, made)
  return made
}

class JoinedUpgrader implements Upgrader {
  readonly #upgrader: Upgrader
  readonly #encrypter: NegotiatingEncrypter
  readonly #init: JoinedUpgradeInit

  constructor(upgrader: Upgrader, encrypter: NegotiatingEncrypter, init: JoinedUpgradeInit) {
    this.#upgrader = upgrader
    this.#encrypter = encrypter
    this.#init = init
  }

  async upgradeOutbound(connection: MultiaddrConnection, options: UpgraderOptions): Promise<Connection> {
    // A dialled connection whose other side asks the questions (both dialled at once) is libp2p's affair.
    if ('skipEncryption' in options || options.initiator === false) {
      return await this.#upgrader.upgradeOutbound(connection, options)
    }
    const secured = await this.#secure('initiator', connection, options)
    return await this.#upgrader.upgradeOutbound(connection, { ...options, ...secured })
  }

  async upgradeInbound(connection: MultiaddrConnection, options: UpgraderOptions): Promise<void> {
    if ('skipEncryption' in options) return await this.#upgrader.upgradeInbound(connection, options)
    const { clock, handshakeTimeoutMs } = this.#init
    using limit = deadline(clock, handshakeTimeoutMs, { signal: options.signal })
    const secured = await this.#secure('responder', connection, { ...options, signal: limit.signal })
    await this.#upgrader.upgradeInbound(connection, { ...options, ...secured })
  }

  createInboundAbortSignal(signal: AbortSignal): ClearableSignal {
    return this.#upgrader.createInboundAbortSignal(signal)
  }

  getStreamMuxers(): Map<string, StreamMuxerFactory> {
    return this.#upgrader.getStreamMuxers()
  }

  getConnectionEncrypters(): Map<string, ConnectionEncrypter> {
    return this.#upgrader.getConnectionEncrypters()
  }

  async #secure(role: Role, connection: MultiaddrConnection, options: UpgraderOptions): Promise<SecuredOptions> {
    const { signal } = options
    const direction = role === 'initiator' ? 'outbound' : 'inbound'
    const named = connection.remoteAddr.getComponents().findLast(({ code }) => code === CODE_P2P)?.value
    options.onProgress?.(new CustomEvent(`upgrader:encrypt-${direction}-connection`))
    try {
      const remotePeer = named === undefined ? {} : { remotePeer: peerIdFromString(named) }
      const secured = await this.#encrypter[negotiateAndSecure](role, connection, { signal, ...remotePeer })
      const { streamMuxer = await this.#agreeOnMuxer(role, secured.connection, options) } = secured
      return {
        skipEncryption: true,
        skipProtection: true,
        remotePeer: secured.remotePeer,
        muxerFactory: onto(secured.connection, streamMuxer),
      }
    } catch (cause) {
      throw signal.aborted ? cause : new UpgradeError(cause)
    }
  }

  /** Behind the handshake, with a peer that named no muxers in it. */
  async #agreeOnMuxer(role: Role, secured: MessageStream, options: UpgraderOptions): Promise<StreamMuxerFactory> {
    const muxers = this.#upgrader.getStreamMuxers()
    const [first] = muxers.keys()
    if (first === undefined) throw new TypeError('this node has no muxer')
    const isInitiator = role === 'initiator'
    options.onProgress?.(new CustomEvent(`upgrader:multiplex-${isInitiator ? 'outbound' : 'inbound'}-connection`))
    const negotiation = isInitiator ? new Offer(first) : new Answer([...muxers.keys()])
    const muxer = muxers.get(await agree(secured, negotiation, options.signal))
    if (muxer === undefined) throw new TypeError('the agreed muxer is none of this node')
    return muxer
  }
}

type SecuredOptions = Pick<
  UpgraderWithoutEncryptionOptions,
  'skipEncryption' | 'skipProtection' | 'remotePeer' | 'muxerFactory'
>

/** A factory for this one connection: libp2p hands it the connection below, which is secured already. */
function onto(secured: MessageStream, factory: StreamMuxerFactory): StreamMuxerFactory {
  return { protocol: factory.protocol, createStreamMuxer: () => factory.createStreamMuxer(secured) }
}

/** As libp2p's upgrader names it; why is in the message, and in the cause. */
class UpgradeError extends Error {
  override readonly name = 'EncryptionFailedError'

  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
  }
}
