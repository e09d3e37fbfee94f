/**
 * Connections that the native session has taken over, against stock js-libp2p, our TypeScript muxer and each other, in
 * both directions and over both drivers: the same bytes on the wire, and every libp2p protocol unchanged.
 */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { after, describe, it } from 'node:test'
import { muxerOf } from '../../modules/network/muxer/backend.ts'
import {
  connect,
  echo,
  libp2pWith,
  nativeMuxerOf,
  readAll,
  startTestEngine,
  typescriptMuxerOf,
  whyNoNative,
  writeAll,
} from '../fake/native-libp2p.ts'
import { stockLibp2p } from '../fake/stock-libp2p.ts'
import type { Connection, Stream } from '@libp2p/interface'
import type { Engine } from '../../native/binding.ts'

const ECHO = '/test/echo/1'
const isFull = process.env['NZ_FULL'] !== undefined
const MANY_BYTES = (isFull ? 100 : 8) * 1024 * 1024
const skip = whyNoNative()

type Kind = 'native' | 'typescript' | 'stock'

async function node(kind: Kind, engine: Engine, listen: readonly string[] = []) {
  if (kind === 'stock') return await stockLibp2p({ listen })
  return await libp2pWith({ listen, muxer: kind === 'native' ? nativeMuxerOf(engine) : typescriptMuxerOf() })
}

const PAIRS = [
  // First: an error in a nonce shows only against somebody else.
  ['native', 'stock'],
  ['stock', 'native'],
  ['native', 'native'],
  ['native', 'typescript'],
  ['typescript', 'native'],
] as const satisfies ReadonlyArray<readonly [Kind, Kind]>

for (const choice of ['auto', 'epoll'] as const) {
  describe(`the native session (${choice})`, { skip }, () => {
    if (skip !== false) return
    const engine = startTestEngine(choice)
    after(() => engine.stop())

    for (const [dialler, listener] of PAIRS) {
      it(`${dialler} → ${listener}`, { timeout: 240_000 }, async () => {
        const there = await node(listener, engine, ['/ip4/127.0.0.1/tcp/0'])
        const here = await node(dialler, engine)
        try {
          await there.handle(ECHO, (stream) => void echo(stream).catch((error: Error) => stream.abort(error)))
          await there.handle('/test/reset/1', (stream) => stream.abort(new Error('as was asked')))
          await there.handle('/test/stall/1', (stream) => stream.pause())
          await there.handle('/test/greet/1', (stream) => void greet(stream))
          const connection = await connect(here, there)
          assert.ok((await here.services.ping.ping(there.peerId)) >= 0)
          if (dialler === 'native') assert.equal(muxerOf(connection).backend, engine.backend)
          await echoes(connection)
          await manyStreams(connection)
          await halfClose(connection)
          await reset(connection)
          await slowReader(connection)
          await closes(connection, there.getConnections())
        } finally {
          await Promise.all([here.stop(), there.stop()])
        }
      })
    }
  })
}

/** Bytes of every size, in pieces of every size, there and back. */
async function echoes(connection: Connection): Promise<void> {
  for (const [byteLength, pieceBytes] of [
    [1, 1],
    [5_000, 1],
    [100_000, 1_000],
    [1_000_000, 65_537],
    [MANY_BYTES, 1024 * 1024],
  ] as const) {
    const sent = randomBytes(byteLength)
    const stream = await connection.newStream(ECHO)
    const [received] = await Promise.all([
      readAll(stream),
      writeAll(stream, sent, pieceBytes).then(async () => await stream.close()),
    ])
    assert.equal(received.byteLength, sent.byteLength)
    assert.equal(digest(received), digest(sent))
  }
}

async function manyStreams(connection: Connection): Promise<void> {
  const texts = Array.from({ length: 20 }, (_, i) => randomBytes(10_000 + i))
  const all = texts.map(async (text) => {
    const stream = await connection.newStream(ECHO)
    const received = readAll(stream)
    await writeAll(stream, text, 999)
    await stream.close()
    return await received
  })
  assert.deepEqual(await Promise.all(all), texts)
}

/** The peer goes on after this side has said its end. */
async function halfClose(connection: Connection): Promise<void> {
  const stream = await connection.newStream('/test/greet/1')
  const received = readAll(stream)
  await stream.close()
  assert.equal((await received).toString(), 'goodbye'.repeat(10_000))
}

async function greet(stream: Stream): Promise<void> {
  await readAll(stream)
  await writeAll(stream, Buffer.from('goodbye'.repeat(10_000)), 4_096)
  await stream.close()
}

async function reset(connection: Connection): Promise<void> {
  const stream = await connection.newStream('/test/reset/1').catch(() => null)
  // libp2p may hear of the reset while it still negotiates.
  if (stream === null) return
  if (stream.status === 'open') await once(stream as unknown as EventTarget, 'close')
  assert.equal(stream.status, 'reset')
}

/** A stream that is not read stops alone: the others of the connection go on, and what waits is bounded. */
async function slowReader(connection: Connection): Promise<void> {
  const stalled = await connection.newStream('/test/stall/1')
  let sentBytes = 0
  // Until the window is full; then nothing drains any more.
  for (let hasRoom = true; hasRoom && sentBytes < 64 * 1024 * 1024; sentBytes += 65_536) {
    if (stalled.send(randomBytes(65_536))) continue
    const drained = once(stalled as unknown as EventTarget, 'drain').then(() => true)
    hasRoom = await Promise.race([drained, after500ms()])
  }
  assert.ok(sentBytes < 4 * 1024 * 1024, `${sentBytes} bytes were taken for a reader that does not read`)
  const other = await connection.newStream(ECHO)
  const received = readAll(other)
  await writeAll(other, Buffer.from('not held up'), 3)
  await other.close()
  assert.equal((await received).toString(), 'not held up')
  stalled.abort(new Error('enough'))
}

async function after500ms(): Promise<boolean> {
  await new Promise((resolve) => setTimeout(resolve, 500))
  return false
}

/** Both sides see the end of a connection, and its streams with it. */
async function closes(connection: Connection, [other]: readonly Connection[]): Promise<void> {
  const stream = await connection.newStream(ECHO)
  const ended = Promise.all([connection, other].map(async (each) => each && (await closed(each))))
  await stream.close()
  await connection.close()
  await ended
  assert.equal(connection.status, 'closed')
  assert.equal(stream.status === 'open', false)
}

async function closed(connection: Connection): Promise<void> {
  if (connection.status !== 'closed') await once(connection as unknown as EventTarget, 'close')
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
