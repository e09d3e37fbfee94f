/** Our `/noise` against itself and against @libp2p/noise, over a connection that cuts bytes anywhere. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { noise } from '@libp2p/noise'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { AbstractMultiaddrConnection } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { isNegotiating, negotiateAndSecure, noiseEncrypter } from '../../../modules/network/noise/encrypter.ts'
import type {
  ConnectionEncrypter,
  MessageStream,
  PeerId,
  SecuredConnection,
  StreamMuxerFactory,
} from '@libp2p/interface'
import type { SendResult } from '@libp2p/utils'
import type { Uint8ArrayList } from 'uint8arraylist'

/** Delivers what the other end sends in pieces of `segmentBytes`, `segmentsPerTurn` in one turn of the event loop. */
class CutConnection extends AbstractMultiaddrConnection {
  partner: CutConnection | null = null
  /** Writes to the wire, as a socket would see them. */
  writes = 0
  readonly #segmentBytes: number
  readonly #segmentsPerTurn: number
  #pending = Buffer.alloc(0)
  #isDelivering = false
  #isPaused = false

  constructor(segmentBytes: number, segmentsPerTurn: number, direction: 'inbound' | 'outbound') {
    super({ remoteAddr: multiaddr('/ip4/127.0.0.1/tcp/1'), direction, log: defaultLogger().forComponent('test') })
    this.#segmentBytes = segmentBytes
    this.#segmentsPerTurn = segmentsPerTurn
  }

  override sendData(data: Uint8ArrayList): SendResult {
    this.writes += 1
    this.partner?.receive(data.slice())
    return { sentBytes: data.byteLength, canSendMore: true }
  }

  receive(bytes: Uint8Array): void {
    this.#pending = Buffer.concat([this.#pending, bytes])
    if (this.#isDelivering) return
    this.#isDelivering = true
    setImmediate(this.#deliver)
  }

  readonly #deliver = (): void => {
    if (this.#pending.byteLength === 0 || this.#isPaused) {
      this.#isDelivering = false
      return
    }
    for (let count = 0; count < this.#segmentsPerTurn && this.#pending.byteLength > 0; count += 1) {
      const segment = this.#pending.subarray(0, this.#segmentBytes)
      this.#pending = this.#pending.subarray(segment.byteLength)
      this.onData(segment)
    }
    setImmediate(this.#deliver)
  }

  override sendPause(): void {
    this.#isPaused = true
  }

  override sendResume(): void {
    this.#isPaused = false
    this.receive(new Uint8Array(0))
  }

  override async sendClose(): Promise<void> {
    this.partner?.receiveEnd()
  }

  receiveEnd(): void {
    if (this.#isDelivering) setImmediate(() => this.receiveEnd())
    else this.onTransportClosed()
  }

  override sendReset(): void {
    this.partner?.onRemoteReset()
  }
}

function connectionPair(segmentBytes: number, segmentsPerTurn = 1): readonly [CutConnection, CutConnection] {
  const outbound = new CutConnection(segmentBytes, segmentsPerTurn, 'outbound')
  const inbound = new CutConnection(segmentBytes, segmentsPerTurn, 'inbound')
  outbound.partner = inbound
  inbound.partner = outbound
  return [outbound, inbound]
}

interface Side {
  readonly encrypter: ConnectionEncrypter
  readonly peerId: PeerId
}

async function sideOf(kind: 'ours' | 'stock', muxers: readonly string[] = []): Promise<Side> {
  const privateKey = await generateKeyPair('Ed25519')
  const peerId = peerIdFromPrivateKey(privateKey)
  const factories = new Map(muxers.map((protocol) => [protocol, { protocol } as StreamMuxerFactory]))
  const services = {
    privateKey,
    peerId,
    logger: defaultLogger(),
    upgrader: { getStreamMuxers: () => factories } as never,
  }
  return { encrypter: kind === 'ours' ? noiseEncrypter()(services) : noise()(services), peerId }
}

/** What arrives until `length` bytes are there. */
async function read(stream: MessageStream, length: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const parts: Uint8Array[] = []
  let bytes = 0
  stream.addEventListener('message', ({ data }) => {
    parts.push(data.slice())
    bytes += data.byteLength
    if (bytes >= length) resolve(Buffer.concat(parts).toString('hex'))
  })
  return await promise
}

const pattern = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => (index * 31) % 251)

describe('the /noise connection encrypter', { timeout: 20_000 }, () => {
  for (const [dialler, listener] of [
    ['ours', 'ours'],
    ['ours', 'stock'],
    ['stock', 'ours'],
  ] as const) {
    for (const [segmentBytes, segmentsPerTurn] of [
      [1, 1],
      [2, 1],
      [3, 1],
      [37, 1],
      [1_000, 1],
      [65_536, 1],
      [1, 10_000],
      [41, 10_000],
    ] as const) {
      it(`${dialler} dials ${listener}, cut every ${segmentBytes} bytes, ${segmentsPerTurn} a turn`, async () => {
        const [initiator, responder] = [await sideOf(dialler), await sideOf(listener)]
        const [outbound, inbound] = connectionPair(segmentBytes, segmentsPerTurn)
        const data = pattern(segmentBytes < 100 ? 3_000 : 200_000)
        const [dialled, accepted] = await Promise.all([
          initiator.encrypter.secureOutbound(outbound, { remotePeer: responder.peerId }).then((secured) => {
            secured.connection.send(data)
            return secured
          }),
          responder.encrypter.secureInbound(inbound),
        ])
        assert.ok(dialled.remotePeer.equals(responder.peerId))
        assert.ok(accepted.remotePeer.equals(initiator.peerId))
        accepted.connection.send(data)
        const expected = Buffer.from(data).toString('hex')
        const received = await Promise.all([
          read(dialled.connection, data.byteLength),
          read(accepted.connection, data.byteLength),
        ])
        assert.ok(received.every((text) => text === expected))
      })
    }
  }

  it('agrees on itself and shakes hands in two packets of the one side and one of the other', async () => {
    const [initiator, responder] = [await sideOf('ours', ['/a']), await sideOf('ours', ['/a'])]
    assert.ok(isNegotiating(initiator.encrypter) && isNegotiating(responder.encrypter))
    for (const segmentBytes of [1, 7, 65_536]) {
      const [outbound, inbound] = connectionPair(segmentBytes)
      const [dialled, accepted]: readonly [SecuredConnection, SecuredConnection] = await Promise.all([
        initiator.encrypter[negotiateAndSecure]('initiator', outbound, { remotePeer: responder.peerId }),
        responder.encrypter[negotiateAndSecure]('responder', inbound, {}),
      ])
      assert.ok(accepted.remotePeer.equals(initiator.peerId))
      assert.equal(dialled.streamMuxer?.protocol, '/a')
      if (segmentBytes === 65_536) assert.deepEqual([outbound.writes, inbound.writes], [2, 1])
      dialled.connection.send(Buffer.from('early'))
      assert.equal(await read(accepted.connection, 5), Buffer.from('early').toString('hex'))
    }
  })

  it('ends when the peer speaks another protocol', async () => {
    const { encrypter } = await sideOf('ours')
    assert.ok(isNegotiating(encrypter))
    const [outbound, inbound] = connectionPair(1_000)
    inbound.send(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'))
    await assert.rejects(encrypter[negotiateAndSecure]('initiator', outbound, {}), { code: 'NZ_MULTISTREAM_INVALID' })
  })

  it('checks a peer that it has met before no less: who it is, and that it holds its key', async () => {
    const [initiator, responder, other] = [await sideOf('ours'), await sideOf('ours'), await sideOf('ours')]
    const meet = async (remotePeer: PeerId): Promise<PeerId> => {
      const [outbound, inbound] = connectionPair(1_000)
      const accepting = responder.encrypter.secureInbound(inbound).catch(() => undefined)
      try {
        return (await initiator.encrypter.secureOutbound(outbound, { remotePeer })).remotePeer
      } finally {
        outbound.abort(new Error('met'))
        await accepting
      }
    }
    for (let times = 0; times < 3; times += 1) assert.ok((await meet(responder.peerId)).equals(responder.peerId))
    await assert.rejects(meet(other.peerId), { name: 'UnexpectedPeerError' })
  })

  it('agrees on the first muxer of the initiator that the responder has', async () => {
    for (const listener of ['ours', 'stock'] as const) {
      const [initiator, responder] = [await sideOf('ours', ['/a', '/b', '/c']), await sideOf(listener, ['/c', '/b'])]
      const [outbound, inbound] = connectionPair(1_000)
      const [dialled, accepted] = await Promise.all([
        initiator.encrypter.secureOutbound(outbound),
        responder.encrypter.secureInbound(inbound),
      ])
      assert.equal(dialled.streamMuxer?.protocol, '/b')
      if (listener === 'ours') assert.equal(accepted.streamMuxer?.protocol, '/b')
    }
  })

  it('refuses a peer with another identity than the one dialled', async () => {
    const [initiator, responder, other] = [await sideOf('ours'), await sideOf('ours'), await sideOf('ours')]
    const [outbound, inbound] = connectionPair(1_000)
    const accepting = responder.encrypter.secureInbound(inbound).catch((error: unknown) => error)
    await assert.rejects(initiator.encrypter.secureOutbound(outbound, { remotePeer: other.peerId }), {
      name: 'UnexpectedPeerError',
    })
    outbound.abort(new Error('refused'))
    assert.equal(((await accepting) as { code: string }).code, 'NZ_NOISE_MALFORMED')
  })

  it('ends the connection at the first record that does not authenticate', async () => {
    const [initiator, responder] = [await sideOf('ours'), await sideOf('ours')]
    const [outbound, inbound] = connectionPair(1_000)
    const [, accepted] = await Promise.all([
      initiator.encrypter.secureOutbound(outbound),
      responder.encrypter.secureInbound(inbound),
    ])
    const closed = new Promise((resolve) => accepted.connection.addEventListener('close', resolve, { once: true }))
    outbound.send(Buffer.concat([Buffer.from([0, 20]), Buffer.alloc(20, 1)]))
    await closed
    assert.equal(accepted.connection.status, 'aborted')
  })

  it('puts the small writes of one tick into one write to the wire', async () => {
    const [initiator, responder] = [await sideOf('ours'), await sideOf('ours')]
    const [outbound, inbound] = connectionPair(65_536)
    const [dialled, accepted] = await Promise.all([
      initiator.encrypter.secureOutbound(outbound),
      responder.encrypter.secureInbound(inbound),
    ])
    const before = outbound.writes
    for (let index = 0; index < 100; index += 1) dialled.connection.send(pattern(50))
    await read(accepted.connection, 5_000)
    assert.equal(outbound.writes - before, 1)
  })

  it('sends what was written before it closes', async () => {
    const [initiator, responder] = [await sideOf('ours'), await sideOf('ours')]
    const [outbound, inbound] = connectionPair(65_536)
    const [dialled, accepted] = await Promise.all([
      initiator.encrypter.secureOutbound(outbound),
      responder.encrypter.secureInbound(inbound),
    ])
    const received = read(accepted.connection, 4)
    dialled.connection.send(Buffer.from('last'))
    await dialled.connection.close()
    assert.equal(await received, Buffer.from('last').toString('hex'))
  })
})
