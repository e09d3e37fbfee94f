/**
 * `/yamux/1.0.0` by the native session, for stock js-libp2p: the connection begins as any other, and is taken over when
 * its layers are recognised (our own Noise over a plain TCP socket). Everything else goes to the fallback: WebSocket,
 * relays, a private network's protector in between.
 */
import { constants } from 'node:os'
import { serviceCapabilities } from '@libp2p/interface'
import { loadAddon, startEngine } from '../../../native/binding.ts'
import { PROTOCOL } from '../../../protocols/yamux/constants.ts'
import { below, canBeTakenOver, takeOver } from '../noise/take-over.ts'
import { SessionMuxer } from './muxer.ts'
import { tcpSocketOf } from './tcp-socket.ts'
import type { MessageStream, StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'
import type { Engine, TakenSession } from '../../../native/binding.ts'
import type { MuxerOptions, NativeMuxer, NativeProbe } from '../muxer/backend.ts'
import type { TakeOverSource } from '../noise/take-over.ts'
import type { TcpSocket } from './tcp-socket.ts'

/** Streams of a peer that wait to be taken up. */
const MAX_BACKLOG = 256

export interface NativeMuxerOptions extends MuxerOptions {
  readonly fallback: StreamMuxerFactory
  /** Whether neighbouring messages of a stream may become one. @default true */
  readonly mergesMessages?: boolean
}

interface Running {
  readonly probe: NativeProbe
  readonly engine: Engine | null
}

/** One engine for each choice, for as long as the environment lives: idle, it costs a sleeping thread. */
const running = new Map<'auto' | 'epoll', Running>()
let chosen: Engine | null = null

export const nativeMuxer: NativeMuxer = {
  probe(choice) {
    const { probe, engine } = run(choice)
    chosen = engine
    return probe
  },
  factory(options) {
    if (chosen === null) throw new TypeError('probe first: the native session does not run')
    return nativeFactory(chosen, options)
  },
}

function run(choice: 'auto' | 'epoll'): Running {
  const known = running.get(choice)
  if (known !== undefined) return known
  const made = start(choice)
  running.set(choice, made)
  return made
}

function start(choice: 'auto' | 'epoll'): Running {
  const loaded = loadAddon()
  if (!loaded.supported) return { engine: null, probe: { supported: false, code: loaded.code, reason: loaded.reason } }
  const made = startEngine(loaded.addon, { mayUseUring: choice === 'auto' })
  if (!made.started) {
    const reason = `the system refuses io_uring and epoll (errno ${made.errno})`
    return { engine: null, probe: { supported: false, code: 'refused-by-system', reason } }
  }
  const { engine, uringError } = made
  const reason = choice === 'epoll' ? 'epoll was asked for' : whyNoUring(uringError)
  return { engine, probe: { supported: true, backend: engine.backend, reason } }
}

function whyNoUring(errno: number): string | null {
  if (errno === 0) return null
  if (errno === constants.errno.EPERM || errno === constants.errno.EACCES)
    return 'io_uring is not allowed here: a seccomp profile (containers), or kernel.io_uring_disabled'
  if (errno === constants.errno.ENOSYS || errno === constants.errno.EINVAL)
    return 'io_uring of this kernel is too old; Linux 5.19 or later has what is needed'
  return `io_uring fails: errno ${errno}`
}

export function nativeFactory(engine: Engine, options: NativeMuxerOptions): StreamMuxerFactory {
  return {
    protocol: PROTOCOL,
    [Symbol.toStringTag]: 'nzcore-native',
    [serviceCapabilities]: ['@libp2p/stream-multiplexing'],
    createStreamMuxer: (secured) => fuse(secured, engine, options) ?? options.fallback.createStreamMuxer(secured),
  } as StreamMuxerFactory
}

/** `null` when the connection is none that is recognised, or cannot be taken now: nothing has happened to it then. */
function fuse(secured: MessageStream, engine: Engine, options: NativeMuxerOptions): StreamMuxer | null {
  if (!canBeTakenOver(secured)) return null
  const connection = secured[below]
  const tcp = tcpSocketOf(connection)
  if (tcp === null) return null
  const session = engine.attach({
    fd: tcp.fd,
    take: () => takenFrom(secured, tcp),
    isClient: connection.direction === 'outbound',
    mergesMessages: options.mergesMessages ?? true,
    maxInboundStreams: options.maxInboundStreams,
    maxBacklog: MAX_BACKLOG,
    maxWindowBytes: options.maxStreamWindowBytes,
  })
  if (typeof session === 'number') return null
  return new SessionMuxer({ session, connection, socket: tcp.socket, backend: engine.backend, options })
}

function takenFrom(secured: TakeOverSource, tcp: TcpSocket): TakenSession | null {
  const taken = secured[takeOver]()
  if (taken === null) return null
  return {
    sendKey: taken.sender.key,
    sendCount: taken.sender.count,
    receiveKey: taken.receiver.key,
    receiveCount: taken.receiver.count,
    plaintext: taken.plaintext,
    sealed: Buffer.concat([taken.sealed, tcp.take()]),
  }
}
