/**
 * The TCP socket below a libp2p connection, for somebody else to read and write: the JS socket stays open and counted by
 * its listener, and is never read again.
 *
 * Looks at fields that no type shows: `socket` of @libp2p/tcp's connection, `_handle` of Node's socket. Whatever is not
 * as expected is no socket of ours; test/unit/native-socket.test.ts says so when one of the two has changed.
 */
import { Socket } from 'node:net'
import type { MessageStream } from '@libp2p/interface'

interface Handle {
  readonly fd: number
  reading: boolean
  readStop(): number
  readStart(): number
}

export interface TcpSocket {
  readonly socket: Socket
  readonly fd: number
  /** Ends all reading in JS. Everything that had been read and not delivered: the bytes that come first. */
  take(): Uint8Array
}

/** `null` for anything but a plain TCP connection with nothing left to write. */
export function tcpSocketOf(connection: MessageStream): TcpSocket | null {
  const socket: unknown = Reflect.get(connection, 'socket')
  if (!(socket instanceof Socket) || socket.destroyed || socket.connecting || socket.readableEnded) return null
  if (socket.writableLength > 0 || connection.writeBufferLength > 0 || connection.status !== 'open') return null
  const handle: unknown = Reflect.get(socket, '_handle')
  if (!isHandle(handle)) return null
  return { socket, fd: handle.fd, take: () => take(connection, socket, handle) }
}

function isHandle(handle: unknown): handle is Handle {
  if (typeof handle !== 'object' || handle === null || handle.constructor.name !== 'TCP') return false
  const fd: unknown = Reflect.get(handle, 'fd')
  const hasCalls = ['readStop', 'readStart'].every((name) => typeof Reflect.get(handle, name) === 'function')
  return typeof fd === 'number' && fd >= 0 && hasCalls && typeof Reflect.get(handle, 'reading') === 'boolean'
}

function take(connection: MessageStream, socket: Socket, handle: Handle): Uint8Array {
  const parts: Uint8Array[] = []
  const readBuffer: unknown = Reflect.get(connection, 'readBuffer')
  if (hasBytes(readBuffer)) {
    parts.push(readBuffer.slice())
    readBuffer.consume(readBuffer.byteLength)
  }
  // JS sees no more of its traffic, so to JS it would look idle.
  socket.removeAllListeners('timeout')
  socket.pause()
  for (let chunk: unknown = socket.read(); chunk instanceof Uint8Array; chunk = socket.read()) parts.push(chunk)
  handle.readStop()
  handle.reading = false
  // A `resume` that was asked for earlier may still come, and would read bytes that are no longer JS's.
  Object.assign(handle, { readStart: () => 0 })
  return Buffer.concat(parts)
}

interface Bytes {
  readonly byteLength: number
  slice(): Uint8Array
  consume(byteLength: number): void
}

function hasBytes(list: unknown): list is Bytes {
  return typeof list === 'object' && list !== null && Number(Reflect.get(list, 'byteLength')) > 0
}
