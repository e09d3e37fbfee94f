/**
 * Peers that break rules, ask too much or do nothing: each loses its own connection, with a code, and nobody else loses
 * anything. Every stack of ours, honest connections beside it.
 * What the others keep of their rate: bench/attack.bench.ts.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, describe, it } from 'node:test'
import { isNzError } from '../../kernel/index.ts'
import { nativeFactory } from '../../modules/network/native-muxer/native-muxer.ts'
import { typescriptMuxer } from '../../modules/network/muxer/muxer.ts'
import { FLAG, FRAME } from '../../protocols/yamux/constants.ts'
import { dial, frame, listen, portOf } from '../fake/attacker.ts'
import { startTestEngine, whyNoNative } from '../fake/native-libp2p.ts'
import { pairOf } from '../fake/native-pair.ts'
import type { Stream, StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'
import type { Attacker, Victim } from '../fake/attacker.ts'
import type { MuxerPair } from '../fake/native-pair.ts'

const MIB = 1024 * 1024
/** The budget of a node, for attackers, victims and honest peers in this one process. */
const MAX_GROWTH_BYTES = 256 * MIB
const SILENT_PEERS = 64
const LIMITS = { maxInboundStreams: 256, maxOutboundStreams: 256, maxStreamWindowBytes: 2 * MIB } as const

const wait = async (ms: number): Promise<void> => await new Promise((settle) => setTimeout(settle, ms))

/** What a native engine does not take over is no test of it. */
const refusal = {
  protocol: '/yamux/1.0.0',
  createStreamMuxer() {
    throw new Error('the connection was not taken over')
  },
} as unknown as StreamMuxerFactory

const attacks: ReadonlyArray<readonly [name: string, code: string, run: (attacker: Attacker) => Promise<void>]> = [
  ['sends bytes that are no record', 'NZ_NOISE_UNAUTHENTIC', async (it) => await it.write(Buffer.alloc(70_000, 7))],
  [
    'sends a record shorter than its tag',
    'NZ_NOISE_UNAUTHENTIC',
    async (it) => await it.write(Buffer.from([0, 3, 1, 2, 3])),
  ],
  [
    'changes one bit of a record',
    'NZ_NOISE_UNAUTHENTIC',
    async (it) => {
      const record = it.record(open(1))
      record[5] = (record[5] ?? 0) ^ 1
      await it.write(record)
    },
  ],
  [
    'sends a record twice',
    'NZ_NOISE_UNAUTHENTIC',
    async (it) => {
      const record = it.record(open(1))
      await it.write(Buffer.concat([record, record]))
    },
  ],
  [
    'leaves a record out',
    'NZ_NOISE_UNAUTHENTIC',
    async (it) => {
      it.record(open(1))
      await it.write(it.record(open(3)))
    },
  ],
  [
    'sends frames of no known kind',
    'NZ_MUXER_FRAME_INVALID',
    async (it) => await it.write(it.record(frame(9, 0, 1, 0))),
  ],
  ['opens a stream twice', 'NZ_MUXER_FRAME_INVALID', async (it) => await it.write(it.record(open(1), open(1)))],
  [
    'announces four gigabytes in one frame',
    'NZ_MUXER_WINDOW_EXCEEDED',
    async (it) => await it.write(it.record(frame(FRAME.data, FLAG.syn, 1, 0xffff_ffff))),
  ],
  [
    'sends a window and a byte, by and by',
    'NZ_MUXER_WINDOW_EXCEEDED',
    async (it) => {
      await it.write(it.record(open(1)))
      const piece = Buffer.alloc(32 * 1024)
      for (let i = 0; i < 8; i++) await it.write(it.record(frame(FRAME.data, 0, 1, piece.byteLength, piece)))
      await it.write(it.record(frame(FRAME.data, 0, 1, 1, Buffer.of(1))))
    },
  ],
  ['asks for pings whose answers it does not take', 'NZ_MUXER_FLOODED', async (it) => await it.pingForEver()],
  ['opens streams whose refusals it does not take', 'NZ_MUXER_FLOODED', async (it) => await it.openForEver()],
  [
    'asks for pings without end and takes the answers',
    'NZ_MUXER_FLOODED',
    async (it) => {
      it.socket.resume()
      await it.pingForEver()
    },
  ],
  [
    'opens streams without end and takes the refusals',
    'NZ_MUXER_FLOODED',
    async (it) => {
      it.socket.resume()
      await it.openForEver()
    },
  ],
  [
    'opens streams and resets them at once',
    'NZ_MUXER_FLOODED',
    async (it) => {
      it.socket.resume()
      for (let stream = 1; !it.isOver; stream += 200) {
        const frames = Array.from({ length: 100 }, (_, i) => [
          open(stream + 2 * i),
          frame(FRAME.windowUpdate, FLAG.rst, stream + 2 * i, 0),
        ])
        await it.write(it.record(...frames.flat()))
      }
    },
  ],
]

function open(stream: number): Uint8Array {
  return frame(FRAME.windowUpdate, FLAG.syn, stream, 0)
}

const skip = whyNoNative()
const stacks = ['auto', 'epoll', 'typescript'] as const
for (const stack of stacks)
  describe(`one who breaks the rules (${stack})`, { skip: stack === 'typescript' ? false : skip }, () => {
    if (stack !== 'typescript' && skip !== false) return
    const { factory, stop } = start(stack)
    const closing: Array<() => unknown> = [stop]
    after(async () => {
      for (const close of closing.toReversed()) await close()
    })
    let pairs: MuxerPair[] = []
    const honest = async (count: number): Promise<MuxerPair[]> => {
      while (pairs.length < count) {
        const pair = await pairOf(factory)
        pair.listener.addEventListener('stream', ({ detail }) => answer(detail))
        pairs.push(pair)
        closing.push(async () => await pair.close(true))
      }
      return pairs.slice(0, count)
    }
    /** One attacker and its victim. */
    const meet = async (): Promise<{ attacker: Attacker; victim: Victim }> => {
      const { promise, resolve: onVictim } = Promise.withResolvers<Victim>()
      const server = await listen(factory, onVictim)
      const attacker = await dial(portOf(server))
      const victim = await promise
      server.close()
      closing.push(() => {
        attacker.socket.destroy()
        victim.close()
      })
      return { attacker, victim }
    }

    for (const [name, code, run] of attacks)
      it(`${name}: is cut with ${code}, alone`, { timeout: 120_000 }, async () => {
        const others = await honest(8)
        const rssBefore = process.memoryUsage.rss()
        const { attacker, victim } = await meet()
        const [error] = await Promise.all([
          victim.ended,
          run(attacker),
          ...others.map(async ({ dialler }) => await roundTrip(dialler, 256 * 1024)),
        ])
        assert.ok(isNzError(error, code), String(error))
        for (const { dialler, listener } of others)
          assert.deepEqual([dialler.status, listener.status], ['open', 'open'])
        await Promise.all(others.map(async ({ dialler }) => await roundTrip(dialler, 1_000)))
        assertGrowth(rssBefore)
      })

    it('opens streams beyond the limit and reads the refusals: has its streams and no more', async () => {
      const others = await honest(8)
      const rssBefore = process.memoryUsage.rss()
      const { attacker, victim } = await meet()
      let opened = 0
      victim.muxer.addEventListener('stream', () => (opened += 1))
      let refusedBytes = 0
      attacker.socket.on('data', (bytes) => (refusedBytes += bytes.byteLength)).resume()
      const all = Array.from({ length: LIMITS.maxInboundStreams + 500 }, (_, i) => open(1 + 2 * i))
      await attacker.write(attacker.record(...all))
      await Promise.all(others.map(async ({ dialler }) => await roundTrip(dialler, 256 * 1024)))
      // A refusal is a frame of 12 bytes; records add to them.
      while (refusedBytes < 500 * 12) await wait(2)
      assert.deepEqual([opened, victim.muxer.streams.length], [LIMITS.maxInboundStreams, LIMITS.maxInboundStreams])
      assert.equal(victim.muxer.status, 'open')
      assertGrowth(rssBefore)
    })

    it(`says nothing, on ${SILENT_PEERS} connections: has them, and the others go on`, async () => {
      const others = await honest(8)
      const rssBefore = process.memoryUsage.rss()
      const silent: Victim[] = []
      for (let i = 0; i < SILENT_PEERS; i++) silent.push((await meet()).victim)
      await Promise.all(others.map(async ({ dialler }) => await roundTrip(dialler, 256 * 1024)))
      for (const { muxer } of silent) assert.equal(muxer.status, 'open')
      assertGrowth(rssBefore)
    })

    it(
      'reads nothing, among a hundred that do: holds what it may, and the others go on',
      { timeout: 120_000 },
      async () => {
        const others = await honest(100)
        const rssBefore = process.memoryUsage.rss()
        const { attacker, victim } = await meet()
        // All the room a stream can have: what stops the writer is that nobody takes its bytes.
        const appeared = once(victim.muxer as unknown as EventTarget, 'stream') as Promise<[{ detail: Stream }]>
        await attacker.write(attacker.record(open(1), frame(FRAME.windowUpdate, 0, 1, 0x7fff_ffff)))
        const [{ detail: stream }] = await appeared
        const piece = new Uint8Array(256 * 1024)
        let sentBytes = 0
        const pour = (): void => {
          for (; sentBytes < 256 * MIB; sentBytes += piece.byteLength) if (!stream.send(piece)) return
        }
        stream.addEventListener('drain', () => queueMicrotask(pour))
        pour()
        for (let i = 0; i < 3; i++)
          await Promise.all(others.map(async ({ dialler }) => await roundTrip(dialler, 64 * 1024)))
        // What the system takes for two sockets, and half a megabyte of ours.
        assert.ok(sentBytes < 48 * MIB, `${sentBytes} bytes were taken for one that reads nothing`)
        assert.equal(victim.muxer.status, 'open')
        assertGrowth(rssBefore)
        attacker.socket.destroy()
        await victim.ended
      },
    )
  })

function start(stack: (typeof stacks)[number]): { factory: StreamMuxerFactory; stop: () => void } {
  if (stack === 'typescript') return { factory: typescriptMuxer(LIMITS)(), stop: () => undefined }
  const engine = startTestEngine(stack)
  return { factory: nativeFactory(engine, { ...LIMITS, fallback: refusal }), stop: () => engine.stop() }
}

function assertGrowth(rssBefore: number): void {
  const grown = process.memoryUsage.rss() - rssBefore
  assert.ok(grown < MAX_GROWTH_BYTES, `${grown} bytes more`)
}

/** Sends back what comes. */
function answer(stream: Stream): void {
  stream.addEventListener('message', ({ data }) => {
    if (!stream.send(data) && stream.readStatus === 'readable') stream.pause()
  })
  stream.addEventListener('drain', () => stream.readStatus === 'paused' && stream.resume())
  stream.addEventListener('end', () => void stream.close().catch(() => undefined))
}

async function roundTrip(muxer: StreamMuxer, byteLength: number): Promise<void> {
  const stream = await muxer.createStream()
  const { promise, resolve: done, reject } = Promise.withResolvers<void>()
  let heardBytes = 0
  stream.addEventListener('message', ({ data }) => {
    heardBytes += data.byteLength
    if (heardBytes === byteLength) done()
  })
  stream.addEventListener('close', () => reject(new Error(`closed after ${heardBytes} of ${byteLength} bytes`)))
  for (let at = 0; at < byteLength; at += 65_536) {
    if (stream.send(new Uint8Array(Math.min(65_536, byteLength - at)))) continue
    await once(stream as unknown as EventTarget, 'drain')
  }
  await promise
  await stream.close()
}
