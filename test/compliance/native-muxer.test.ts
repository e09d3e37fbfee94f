/**
 * libp2p's official stream-muxer suite against the native session, over both drivers. The suite joins two muxers by a
 * connection in memory; here that connection stands for a real socket on the loopback, secured as any other: what it
 * does to the one happens to the other.
 */
import { tryAgain } from './mocha-globals.ts'
import { after, describe } from 'node:test'
import { nativeFactory } from '../../modules/network/native-muxer/native-muxer.ts'
import { MUXER_OPTIONS, startTestEngine, whyNoNative } from '../fake/native-libp2p.ts'
import { securedStream, SocketConnection, socketPair } from '../fake/native-pair.ts'
import type { Socket } from 'node:net'
import type { MultiaddrConnection, StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'
import type { Engine } from '../../native/binding.ts'

// The suite waits 10 ms at most for both ends to hear of each other's end.
for (const after of ['closing', 'aborting']) tryAgain(`should remove a stream in the streams list after ${after}`)
tryAgain('should remove a stream half closed from both ends')

const skip = whyNoNative()
if (skip !== false) process.stdout.write(`# left out: ${skip}\n`)
else {
  const { default: streamMuxerSuite } = await import('@libp2p/interface-compliance-tests/stream-muxer')
  for (const choice of ['auto', 'epoll'] as const) {
    describe(`the native session (${choice})`, () => {
      const engine = startTestEngine(choice)
      let waiting: Socket | null = null
      after(() => {
        waiting?.destroy()
        engine.stop()
      })
      streamMuxerSuite({
        // Called for the dialler first, then for the listener.
        async setup() {
          if (waiting !== null) {
            const socket = waiting
            waiting = null
            return factoryOver(socket, engine)
          }
          const [dialler, listener] = await socketPair()
          waiting = listener
          return factoryOver(dialler, engine)
        },
        async teardown() {},
      })
    })
  }
}

function factoryOver(socket: Socket, engine: Engine): StreamMuxerFactory {
  const fallback = {
    protocol: '',
    createStreamMuxer() {
      throw new Error('the connection was not taken over')
    },
  } as unknown as StreamMuxerFactory
  // The suite counts messages: they stay what they were.
  const factory = nativeFactory(engine, { ...MUXER_OPTIONS, fallback, mergesMessages: false })
  return {
    ...factory,
    createStreamMuxer(stand: MultiaddrConnection): StreamMuxer {
      const below = new SocketConnection(socket, stand)
      stand.addEventListener('close', ({ error }) => {
        if (error === undefined) void below.close().catch(() => undefined)
        else below.abort(error)
      })
      below.addEventListener('close', () => void stand.close())
      const muxer = factory.createStreamMuxer(securedStream(below))
      muxers.push(muxer)
      actSlow(stand, () => muxers.slice(-2).filter((each) => each !== muxer))
      return muxer
    },
  } as StreamMuxerFactory
}

const muxers: StreamMuxer[] = []

/** The suite makes a connection slow by a field of its own; a peer that does not read makes a real one slow. */
function actSlow(stand: MultiaddrConnection, others: () => readonly StreamMuxer[]): void {
  const local: unknown = Reflect.get(stand, 'local')
  if (typeof local !== 'object' || local === null) throw new TypeError('the connection of the suite has changed')
  Object.defineProperty(local, 'delay', {
    get: () => 0,
    set: () => {
      for (const { streams } of others()) for (const stream of streams) stream.pause()
    },
  })
}
