/**
 * Joins a TCP socket to a peer stream: bytes both ways with back-pressure, half-close carried over, and a cut on one
 * side becomes a reset on the other.
 */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { PeerStream } from '../network/service.ts'

export interface SpliceOptions {
  /** Bytes that came with the header, to be written to the socket first. */
  readonly firstBytes: Uint8Array
  /** Cuts both sides. */
  readonly signal: AbortSignal
  readonly onBytes: (direction: 'tx' | 'rx', count: number) => void
}

/**
 * Resolves when both directions have ended, in order or not; never throws. The socket must allow half-open and be
 * paused.
 */
export async function splice(socket: Socket, stream: PeerStream, options: SpliceOptions): Promise<void> {
  let isSending = true
  const cut = (): void => {
    if (!socket.destroyed) socket.resetAndDestroy()
    stream.reset()
  }
  // Between the last byte from the socket and its close the stream may end in order: that is no cut.
  const onStreamEnd = (): void => {
    if (isSending) cut()
  }
  // Without a listener a socket error is thrown at the process; what it means is seen by both directions below.
  socket.on('error', () => undefined)
  options.signal.addEventListener('abort', cut, { once: true })
  stream.signal.addEventListener('abort', onStreamEnd, { once: true })
  const sending = toPeer(socket, stream, options).finally(() => {
    isSending = false
  })
  const results = await Promise.allSettled([
    sending.catch((error: unknown) => fail(cut, error)),
    toSocket(socket, stream, options).catch((error: unknown) => fail(cut, error)),
  ])
  stream.signal.removeEventListener('abort', onStreamEnd)
  if (results.every(({ status }) => status === 'fulfilled')) {
    await stream.close().catch(() => stream.reset())
    if (!socket.destroyed && !socket.writableFinished) await once(socket, 'close').catch(() => undefined)
  }
  socket.destroy()
  options.signal.removeEventListener('abort', cut)
}

async function toPeer(socket: Socket, stream: PeerStream, { onBytes }: SpliceOptions): Promise<void> {
  // The default iterator destroys the socket at its end, which would cut the other direction off.
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    const bytes = chunk as Buffer
    await stream.write(bytes)
    onBytes('tx', bytes.length)
  }
  await stream.closeWrite()
}

async function toSocket(socket: Socket, stream: PeerStream, { firstBytes, onBytes }: SpliceOptions): Promise<void> {
  let next: Uint8Array | null = firstBytes
  while (next !== null) {
    if (socket.destroyed) throw new Error('the socket was closed')
    if (next.length > 0) {
      onBytes('rx', next.length)
      if (!socket.write(next)) await drained(socket)
    }
    next = await stream.read()
  }
  socket.end()
}

/** Waits for room; a socket that closes meanwhile has none any more. */
async function drained(socket: Socket): Promise<void> {
  const closed = new AbortController()
  const onClose = (): void => closed.abort(new Error('the socket was closed'))
  if (socket.destroyed) onClose()
  socket.once('close', onClose)
  try {
    await once(socket, 'drain', { signal: closed.signal })
  } finally {
    socket.off('close', onClose)
  }
}

function fail(cut: () => void, error: unknown): never {
  cut()
  throw error
}
