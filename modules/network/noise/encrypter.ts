/**
 * libp2p's `/noise` (https://github.com/libp2p/specs/blob/master/noise/README.md) on node:crypto: a drop-in
 * connection encrypter. Peers cannot tell it from any other implementation.
 */
import { publicKeyFromProtobuf, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { serviceCapabilities, UnexpectedPeerError } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { CipherState } from '../../../protocols/noise/cipher-state.ts'
import { Handshake, XX } from '../../../protocols/noise/handshake.ts'
import { decodePayload, encodePayload, SIGNATURE_PREFIX } from '../../../protocols/noise/libp2p-payload.ts'
import { generateX25519KeyPair } from '../../../protocols/noise/x25519.ts'
import { Answer, Offer } from '../../../protocols/multistream/negotiation.ts'
import { Acquaintances } from './acquaintances.ts'
import { HandshakeChannel } from './handshake-channel.ts'
import { SecuredStream } from './secured-stream.ts'
import { SpareKeys } from './spare-keys.ts'
import type {
  ConnectionEncrypter,
  MessageStream,
  PrivateKey,
  PublicKey,
  SecureConnectionOptions,
  SecuredConnection,
  StreamMuxerFactory,
  Upgrader,
} from '@libp2p/interface'
import type { X25519KeyPair } from '../../../protocols/noise/x25519.ts'
import type { Acquaintance } from './acquaintances.ts'

export interface NoiseServices {
  readonly privateKey: PrivateKey
  readonly upgrader: Pick<Upgrader, 'getStreamMuxers'>
}

export type Role = 'initiator' | 'responder'

/** A method of an encrypter that agrees on itself with the peer; others do not have it. */
export const negotiateAndSecure = Symbol('nzcore.noise.negotiateAndSecure')

export interface NegotiatingEncrypter extends ConnectionEncrypter {
  /**
   * As `secureOutbound` and `secureInbound`, on a connection on which nothing has been said: multistream-select and the
   * handshake share their packets, which takes a round trip less.
   */
  [negotiateAndSecure](
    role: Role,
    connection: MessageStream,
    options: SecureConnectionOptions,
  ): Promise<SecuredConnection>
}

export function isNegotiating(encrypter: ConnectionEncrypter | undefined): encrypter is NegotiatingEncrypter {
  return encrypter !== undefined && typeof Reflect.get(encrypter, negotiateAndSecure) === 'function'
}

export function noiseEncrypter(): (services: NoiseServices) => ConnectionEncrypter {
  return (services) => new NoiseEncrypter(services)
}

class NoiseEncrypter implements NegotiatingEncrypter {
  readonly protocol = '/noise'
  readonly [Symbol.toStringTag] = 'nzcore-noise'
  readonly [serviceCapabilities]: string[] = ['@libp2p/connection-encryption', '@libp2p/noise']
  readonly #services: NoiseServices
  /** One static key a process: its binding to the identity is signed once. */
  readonly #staticKey: X25519KeyPair = generateX25519KeyPair()
  readonly #spareKeys = new SpareKeys()
  readonly #acquaintances = new Acquaintances()
  #signature: Promise<Uint8Array> | null = null

  constructor(services: NoiseServices) {
    this.#services = services
  }

  async secureOutbound(connection: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    return await this.#secure('initiator', new HandshakeChannel(connection), options)
  }

  async secureInbound(connection: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    return await this.#secure('responder', new HandshakeChannel(connection), options)
  }

  async [negotiateAndSecure](
    role: Role,
    connection: MessageStream,
    options: SecureConnectionOptions,
  ): Promise<SecuredConnection> {
    const negotiation = role === 'initiator' ? new Offer(this.protocol) : new Answer([this.protocol])
    return await this.#secure(role, new HandshakeChannel(connection, negotiation), options)
  }

  async #secure(
    role: Role,
    channel: HandshakeChannel,
    options: SecureConnectionOptions = {},
  ): Promise<SecuredConnection> {
    const handshake = new Handshake({
      pattern: XX,
      role,
      staticKey: this.#staticKey,
      ephemeralKey: this.#spareKeys.take(),
    })
    const muxers = options.skipStreamMuxerNegotiation === true ? [] : [...this.#services.upgrader.getStreamMuxers()]
    try {
      const payload = await this.#payload(muxers.map(([name]) => name))
      const received = await exchange(channel, handshake, role, payload, options.signal)
      const { peerId, streamMuxers } = await this.#authenticate(received, handshake, options.remotePeer?.publicKey)
      const streamMuxer = chosenMuxer(role, new Map(muxers), streamMuxers)
      const { sendKey, receiveKey } = handshake.split()
      const [sender, receiver] = [new CipherState(sendKey), new CipherState(receiveKey)]
      sendKey.fill(0)
      receiveKey.fill(0)
      const { connection } = channel
      return {
        connection: new SecuredStream({ connection, sender, receiver, reader: channel.detach() }),
        remotePeer: peerId,
        ...(streamMuxer === undefined ? {} : { streamMuxer }),
      }
    } catch (error) {
      channel.detach()
      throw error
    }
  }

  /** @throws UnexpectedPeerError when the static key is not signed by the identity that was expected */
  async #authenticate(
    received: Uint8Array,
    { remoteStatic }: Handshake,
    expected: PublicKey | undefined,
  ): Promise<Acquaintance & { readonly streamMuxers: readonly string[] }> {
    const { identityKey, identitySignature, streamMuxers } = decodePayload(received)
    requireEd25519(identityKey)
    const staticKey = remoteStatic ?? new Uint8Array(0)
    const proof = { identityKey, identitySignature, staticKey }
    const known = this.#acquaintances.find(proof)
    const publicKey = known?.publicKey ?? publicKeyFromProtobuf(identityKey)
    if (expected !== undefined && !publicKey.equals(expected)) {
      throw new UnexpectedPeerError('the key shown does not match expected remote identity key')
    }
    if (known !== undefined) return { ...known, streamMuxers }
    const isSigned = remoteStatic !== null && (await publicKey.verify(signedBytes(remoteStatic), identitySignature))
    if (!isSigned) throw new UnexpectedPeerError('the peer does not prove its identity')
    const acquaintance = { publicKey, peerId: peerIdFromPublicKey(publicKey) }
    this.#acquaintances.add(proof, acquaintance)
    return { ...acquaintance, streamMuxers }
  }

  async #payload(streamMuxers: readonly string[]): Promise<Uint8Array> {
    const { privateKey } = this.#services
    this.#signature ??= Promise.resolve(privateKey.sign(signedBytes(this.#staticKey.publicKey)))
    return encodePayload({
      identityKey: publicKeyToProtobuf(privateKey.publicKey),
      identitySignature: await this.#signature,
      streamMuxers,
    })
  }
}

/** XX: → e, ← e ee s es (responder's payload), → s se (initiator's payload). The payload of the peer. */
async function exchange(
  channel: HandshakeChannel,
  handshake: Handshake,
  role: Role,
  payload: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const nothing = new Uint8Array(0)
  if (role === 'initiator') {
    channel.write(handshake.writeMessage(nothing))
    const received = handshake.readMessage(await channel.read(signal))
    channel.write(handshake.writeMessage(payload))
    channel.flush()
    return received
  }
  handshake.readMessage(await channel.read(signal))
  channel.write(handshake.writeMessage(payload))
  return handshake.readMessage(await channel.read(signal))
}

/** A libp2p `PublicKey` message of type Ed25519: field 1 = 1, field 2 = 32 bytes. */
const ED25519_KEY_HEAD = Buffer.from('08011220', 'hex')
const ED25519_KEY_BYTES = 36

/** Ed25519 identities only: other kinds cost far more to check than to send (CVE-2023-39533). */
function requireEd25519(protobuf: Uint8Array): void {
  const isEd25519 =
    protobuf.byteLength === ED25519_KEY_BYTES && ED25519_KEY_HEAD.equals(protobuf.subarray(0, ED25519_KEY_HEAD.length))
  if (!isEd25519) throw new UnexpectedPeerError('the peer has no Ed25519 identity')
}

/**
 * Early muxer negotiation: the first muxer of the initiator's list that the responder has too
 * (https://github.com/libp2p/specs/blob/master/connections/inlined-muxer-negotiation.md). When one side names none, the
 * muxer is negotiated after the handshake.
 *
 * @throws UnexpectedPeerError when both name muxers and have none in common
 */
function chosenMuxer(
  role: Role,
  own: ReadonlyMap<string, StreamMuxerFactory>,
  remote: readonly string[],
): StreamMuxerFactory | undefined {
  const [first, second] = role === 'initiator' ? [[...own.keys()], remote] : [remote, [...own.keys()]]
  const name = first.find((candidate) => second.includes(candidate))
  if (name === undefined && own.size > 0 && remote.length > 0) {
    throw new UnexpectedPeerError(`no muxer in common: the peer offers ${remote.join(', ')}`)
  }
  return name === undefined ? undefined : own.get(name)
}

function signedBytes(staticPublicKey: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(SIGNATURE_PREFIX), staticPublicKey])
}
