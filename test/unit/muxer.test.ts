/** The TypeScript muxer over a connection in memory: with itself, with stock yamux, and with a peer that breaks rules. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { multiaddrConnectionPair } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { isNzError } from '../../kernel/index.ts'
import { muxerOf } from '../../modules/network/muxer/backend.ts'
import { isDirectlyReadable, readDirectly } from '../../modules/network/muxer/directly-readable.ts'
import { typescriptMuxer } from '../../modules/network/muxer/muxer.ts'
import { MAX_WAITING_CONTROL_BYTES } from '../../modules/network/muxer/outbox.ts'
import { FLAG, FRAME, HEADER_BYTES, INITIAL_WINDOW_BYTES } from '../../protocols/yamux/constants.ts'
import { FrameReader } from '../../protocols/yamux/frame-reader.ts'
import { writeHeader } from '../../protocols/yamux/header.ts'
import type { MultiaddrConnection, Stream, StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'

const ours = typescriptMuxer()
const stock = (): StreamMuxerFactory => yamux()() as StreamMuxerFactory

async function nextStream(muxer: StreamMuxer): Promise<Stream> {
  const [event] = (await once(muxer as unknown as EventTarget, 'stream')) as [CustomEvent<Stream>]
  return event.detail
}

async function streamsOf(dialer: StreamMuxer, listener: StreamMuxer): Promise<[Stream, Stream]> {
  const [there, here] = await Promise.all([nextStream(listener), dialer.createStream()])
  return [here, there]
}

/** Collects until the other side has ended or reset. */
function collect(stream: Stream): { readonly bytes: () => Buffer; readonly ended: Promise<unknown> } {
  const chunks: Uint8Array[] = []
  stream.addEventListener('message', ({ data }) => void chunks.push(data.subarray()))
  const target = stream as unknown as EventTarget
  return { bytes: () => Buffer.concat(chunks), ended: Promise.race([once(target, 'end'), once(target, 'close')]) }
}

/** A peer that writes frames by hand. */
class RawPeer {
  readonly frames: Array<{ type: number; flags: number; streamId: number; length: number }> = []
  readonly #connection: MultiaddrConnection

  constructor(connection: MultiaddrConnection) {
    this.#connection = connection
    const reader = new FrameReader({
      onFrame: (type, flags, streamId, length) => void this.frames.push({ type, flags, streamId, length }),
      onPayload: () => undefined,
    })
    connection.addEventListener('message', ({ data }) => reader.push(data.subarray()))
  }

  send(type: number, flags: number, streamId: number, length: number, payloadBytes = 0): void {
    const bytes = new Uint8Array(HEADER_BYTES + payloadBytes)
    writeHeader(bytes, 0, type, flags, streamId, length)
    this.#connection.send(bytes)
  }
}

function rawPair(options: Parameters<typeof typescriptMuxer>[0] = {}): {
  peer: RawPeer
  muxer: StreamMuxer
  connection: MultiaddrConnection
} {
  const [outbound, inbound] = multiaddrConnectionPair()
  return {
    peer: new RawPeer(outbound),
    muxer: typescriptMuxer(options)().createStreamMuxer(inbound),
    connection: inbound,
  }
}

/** Waits for what comes after some turns of the event loop; the test's own time limit ends it. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve))
}

describe('the muxer', () => {
  for (const [name, dial, listen] of [
    ['itself', ours, ours],
    ['stock yamux that dials', stock, ours],
    ['stock yamux that listens', ours, stock],
  ] as const)
    it(`carries more than a window both ways, half closes and ends, with ${name}`, async () => {
      const [outbound, inbound] = multiaddrConnectionPair()
      const [dialer, listener] = [dial().createStreamMuxer(outbound), listen().createStreamMuxer(inbound)]
      const [here, there] = await streamsOf(dialer, listener)
      const sent = Buffer.alloc(3 * INITIAL_WINDOW_BYTES, 'nz')
      const [heardHere, heardThere] = [collect(here), collect(there)]
      for (const stream of [here, there]) stream.send(sent.subarray(0, 5))
      for (const stream of [here, there])
        for (let at = 5; at < sent.byteLength; at += 60_000) stream.send(sent.subarray(at, at + 60_000))
      await Promise.all([here.close(), there.close(), heardHere.ended, heardThere.ended])
      assert.ok(heardHere.bytes().equals(sent) && heardThere.bytes().equals(sent))
      await until(() => dialer.streams.length + listener.streams.length === 0)
      await dialer.close()
    })

  it('says which it is, by the streams of its connection', () => {
    const { muxer } = rawPair()
    assert.equal(muxerOf(muxer).backend, 'typescript')
    assert.equal(muxerOf({ streams: [] }).backend, 'libp2p')
    assert.equal(muxerOf(muxer).counters?.().windowStalls, 0)
    assert.equal(muxerOf({ streams: [] }).counters?.(), undefined)
  })

  it('holds one window for a reader that stops, and the others of the connection go on', async () => {
    const [outbound, inbound] = multiaddrConnectionPair()
    const [dialer, listener] = [ours().createStreamMuxer(outbound), ours().createStreamMuxer(inbound)]
    const [slow, slowThere] = await streamsOf(dialer, listener)
    const [fast, fastThere] = await streamsOf(dialer, listener)
    let heldBytes = 0
    assert.ok(isDirectlyReadable(slowThere))
    slowThere[readDirectly]((bytes) => (heldBytes += bytes.byteLength))
    const heard = collect(fastThere)
    const flood = new Uint8Array(4 * INITIAL_WINDOW_BYTES)
    assert.equal(slow.send(flood), false)
    fast.send(flood)
    await fast.close()
    await heard.ended
    assert.equal(heard.bytes().byteLength, flood.byteLength)
    assert.equal(heldBytes, INITIAL_WINDOW_BYTES)
    slowThere.took(INITIAL_WINDOW_BYTES)
    await until(() => heldBytes === 2 * INITIAL_WINDOW_BYTES)
    await dialer.close({ signal: AbortSignal.timeout(50) }).catch(() => undefined)
  })

  it('answers no data frame with a window of its own', async () => {
    const { peer, muxer } = rawPair()
    let heardBytes = 0
    muxer.addEventListener('stream', ({ detail }) => {
      detail.addEventListener('message', ({ data }) => (heardBytes += data.byteLength))
    })
    peer.send(FRAME.data, FLAG.syn, 1, 1_000, 1_000)
    for (let i = 0; i < 99; i++) peer.send(FRAME.data, 0, 1, 1_000, 1_000)
    peer.send(FRAME.ping, FLAG.syn, 0, 7)
    await until(() => heardBytes === 100_000 && peer.frames.some(({ type }) => type === FRAME.ping))
    assert.deepEqual(
      peer.frames.filter(({ type }) => type !== FRAME.ping),
      [{ type: FRAME.windowUpdate, flags: FLAG.ack, streamId: 1, length: 0 }],
    )
  })

  it('puts what is sent in one turn into few writes', async () => {
    const { peer, muxer } = rawPair()
    const streams = [await muxer.createStream(), await muxer.createStream()]
    await until(() => peer.frames.length === 2)
    peer.frames.length = 0
    const before = muxerOf(muxer).counters?.().txRecords ?? 0
    for (let i = 0; i < 50; i++) for (const stream of streams) stream.send(Uint8Array.of(i))
    await until(() => peer.frames.length === 100)
    assert.equal((muxerOf(muxer).counters?.().txRecords ?? 0) - before, 1)
  })

  it('keeps many small pieces for nobody without the records they came in', async () => {
    const { peer, muxer } = rawPair()
    const stream = nextStream(muxer)
    peer.send(FRAME.data, FLAG.syn, 1, 1, 1)
    const there = await stream
    for (let i = 0; i < 5_000; i++) peer.send(FRAME.data, 0, 1, 1, 1)
    await until(() => there.readBufferLength === 5_001)
    const heard = collect(there)
    await until(() => heard.bytes().byteLength === 5_001)
  })
})

describe('a peer that breaks the rules of the muxer', () => {
  const attacks: Readonly<Record<string, [code: string, attack: (peer: RawPeer) => void]>> = {
    'sends past its window': [
      'NZ_MUXER_WINDOW_EXCEEDED',
      (peer) => peer.send(FRAME.data, FLAG.syn, 1, INITIAL_WINDOW_BYTES + 1),
    ],
    'sends an unknown frame': ['NZ_MUXER_FRAME_INVALID', (peer) => peer.send(9, 0, 1, 0)],
    'opens a stream of ours': ['NZ_MUXER_FRAME_INVALID', (peer) => peer.send(FRAME.windowUpdate, FLAG.syn, 2, 0)],
    'goes away for an error': ['NZ_MUXER_GONE_AWAY', (peer) => peer.send(FRAME.goAway, 0, 0, 2)],
  }
  for (const [name, [code, attack]] of Object.entries(attacks))
    it(`${name} loses its connection with ${code}`, async () => {
      const { peer, muxer, connection } = rawPair()
      const stream = await muxer.createStream()
      const closed = once(connection as unknown as EventTarget, 'close') as Promise<[Event & { error?: Error }]>
      attack(peer)
      const [{ error }] = await closed
      assert.ok(isNzError(error, code), String(error))
      assert.deepEqual([muxer.status, stream.status], ['closed', 'aborted'])
    })

  it('asks for answers it does not take loses its connection once as much waits as may', async () => {
    const { peer, muxer, connection } = rawPair()
    const closed = once(connection as unknown as EventTarget, 'close') as Promise<[Event & { error?: Error }]>
    Reflect.set(connection, 'writableNeedsDrain', true)
    for (let i = 0; i <= MAX_WAITING_CONTROL_BYTES / HEADER_BYTES; i++) peer.send(FRAME.ping, FLAG.syn, 0, i)
    const [{ error }] = await closed
    assert.ok(isNzError(error, 'NZ_MUXER_FLOODED'), String(error))
    assert.equal(muxer.status, 'closed')
  })

  it('opens streams beyond the cap gets them reset, and the connection goes on', async () => {
    const { peer, muxer } = rawPair({ maxInboundStreams: 3 })
    muxer.addEventListener('stream', () => undefined)
    for (let id = 1; id < 20; id += 2) peer.send(FRAME.windowUpdate, FLAG.syn, id, 0)
    await until(() => peer.frames.filter(({ flags }) => (flags & FLAG.rst) !== 0).length === 7)
    assert.equal(muxer.streams.length, 3)
    assert.equal(muxer.status, 'open')
  })
})
