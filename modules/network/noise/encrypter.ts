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
import { HandshakeChannel } from './handshake-channel.ts'
import { SecuredStream } from './secured-stream.ts'
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

export interface NoiseServices {
  readonly privateKey: PrivateKey
  readonly upgrader: Pick<Upgrader, 'getStreamMuxers'>
}

type Role = 'initiator' | 'responder'

export function noiseEncrypter(): (services: NoiseServices) => ConnectionEncrypter {
  return (services) => new NoiseEncrypter(services)
}

class NoiseEncrypter implements ConnectionEncrypter {
  readonly protocol = '/noise'
  readonly [Symbol.toStringTag] = 'nzcore-noise'
  readonly [serviceCapabilities]: string[] = ['@libp2p/connection-encryption', '@libp2p/noise']
  readonly #services: NoiseServices
  /** One static key a process: its binding to the identity is signed once. */
  readonly #staticKey: X25519KeyPair = generateX25519KeyPair()
  #signature: Promise<Uint8Array> | null = null

  constructor(services: NoiseServices) {
    this.#services = services
  }

  async secureOutbound(connection: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    return await this.#secure('initiator', connection, options)
  }

  async secureInbound(connection: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    return await this.#secure('responder', connection, options)
  }

  async #secure(
    role: Role,
    connection: MessageStream,
    options: SecureConnectionOptions = {},
  ): Promise<SecuredConnection> {
    const channel = new HandshakeChannel(connection)
    const handshake = new Handshake({ pattern: XX, role, staticKey: this.#staticKey })
    const muxers = options.skipStreamMuxerNegotiation === true ? [] : [...this.#services.upgrader.getStreamMuxers()]
    try {
      const payload = await this.#payload(muxers.map(([name]) => name))
      const received = await exchange(channel, handshake, role, payload, options.signal)
      const remote = await authenticate(received, handshake, options.remotePeer?.publicKey)
      const streamMuxer = chosenMuxer(role, new Map(muxers), remote.streamMuxers)
      const { sendKey, receiveKey } = handshake.split()
      const [sender, receiver] = [new CipherState(sendKey), new CipherState(receiveKey)]
      sendKey.fill(0)
      receiveKey.fill(0)
      return {
        connection: new SecuredStream({ connection, sender, receiver, reader: channel.detach() }),
        remotePeer: peerIdFromPublicKey(remote.publicKey),
        ...(streamMuxer === undefined ? {} : { streamMuxer }),
      }
    } catch (error) {
      channel.detach()
      throw error
    }
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
    return received
  }
  handshake.readMessage(await channel.read(signal))
  channel.write(handshake.writeMessage(payload))
  return handshake.readMessage(await channel.read(signal))
}

/** @throws UnexpectedPeerError when the static key is not signed by the identity that was expected */
async function authenticate(
  received: Uint8Array,
  handshake: Handshake,
  expected: PublicKey | undefined,
): Promise<{ readonly publicKey: PublicKey; readonly streamMuxers: readonly string[] }> {
  const { identityKey, identitySignature, streamMuxers } = decodePayload(received)
  const publicKey = identityOf(identityKey)
  if (expected !== undefined && !publicKey.equals(expected)) {
    throw new UnexpectedPeerError('the key shown does not match expected remote identity key')
  }
  const isSigned =
    handshake.remoteStatic !== null && (await publicKey.verify(signedBytes(handshake.remoteStatic), identitySignature))
  if (!isSigned) throw new UnexpectedPeerError('the peer does not prove its identity')
  return { publicKey, streamMuxers }
}

/** A libp2p `PublicKey` message of type Ed25519: field 1 = 1, field 2 = 32 bytes. */
const ED25519_KEY_HEAD = Buffer.from('08011220', 'hex')
const ED25519_KEY_BYTES = 36

/** Ed25519 identities only: other kinds cost far more to check than to send (CVE-2023-39533). */
function identityOf(protobuf: Uint8Array): PublicKey {
  const isEd25519 =
    protobuf.byteLength === ED25519_KEY_BYTES && ED25519_KEY_HEAD.equals(protobuf.subarray(0, ED25519_KEY_HEAD.length))
  if (!isEd25519) throw new UnexpectedPeerError('the peer has no Ed25519 identity')
  return publicKeyFromProtobuf(protobuf)
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
