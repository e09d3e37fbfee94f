/** A process, or a worker, in the middle of a transfer of the native session: `native-child.ts <what> <choice> [port]`. */
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { defaultLogger } from '@libp2p/logger'
import { parentPort } from 'node:worker_threads'
import { nativeFactory } from '../../modules/network/native-muxer/native-muxer.ts'
import { startTestEngine } from './native-libp2p.ts'
import { nativePair, securedStream, SocketConnection } from './native-pair.ts'
import type { StreamMuxerFactory } from '@libp2p/interface'

const [what = '', choice = 'auto', port = '0'] = process.argv.slice(2)
const engine = startTestEngine(choice === 'epoll' ? 'epoll' : 'auto')
const OPTIONS = { maxInboundStreams: 64, maxOutboundStreams: 64, maxStreamWindowBytes: 2 * 1024 * 1024 }

if (what === 'dial') {
  const socket = connectTcp(Number(port), '127.0.0.1')
  await once(socket, 'connect')
  const connection = new SocketConnection(socket, {
    log: defaultLogger().forComponent('test'),
    direction: 'outbound',
  })
  const fallback = {} as unknown as StreamMuxerFactory
  const muxer = nativeFactory(engine, { ...OPTIONS, fallback }).createStreamMuxer(securedStream(connection))
  const stream = await muxer.createStream()
  stream.send(new Uint8Array(1_000))
} else if (what !== 'idle') {
  const { dialler, listener } = await nativePair(engine)
  // Some of what came last is still somebody's when the end comes.
  const kept: unknown[] = []
  let messages = 0
  listener.addEventListener('stream', ({ detail }) =>
    detail.addEventListener('message', ({ data }) => {
      kept[messages++ % 16] = data
    }),
  )
  const stream = await dialler.createStream()
  const bytes = new Uint8Array(256 * 1024)
  const pour = (): void => {
    while (stream.send(bytes));
  }
  stream.addEventListener('drain', () => queueMicrotask(pour))
  if (what !== 'held') pour()
  setTimeout(() => {
    parentPort?.postMessage('running')
    if (what === 'held') process.stdout.write('open\n')
    if (what === 'exit') process.exit(0)
    if (what === 'throw') throw new Error('on purpose')
    if (what === 'stop') {
      engine.stop()
      process.exitCode = 0
      setTimeout(() => process.exit(0), 10)
    }
  }, 30)
}
