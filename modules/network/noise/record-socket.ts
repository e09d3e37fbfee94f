/**
 * Where records are written to and read from: the TCP socket below a libp2p connection when there is one, else the
 * connection itself. libp2p's own path costs several copies of lists and an event for each chunk and each write.
 */
import { Socket } from 'node:net'
import type { MessageStream } from '@libp2p/interface'

/** Sealed bytes that may wait for the peer before writers have to. */
export const MAX_WAITING_BYTES = 512 * 1_024

export interface RecordSocket {
  /** Writes the parts in one system call where the socket takes them. They are the socket's from then on. */
  write(parts: readonly Uint8Array[]): void
  /** Whether enough bytes wait; `onDrain` follows. */
  readonly isFull: boolean
  /** Bytes written and not yet given to the system. */
  readonly waitingBytes: number
  /** Stops listening. */
  detach(): void
}

export interface RecordSocketInit {
  /** The bytes may not be kept: their memory is given back when this returns. */
  readonly onBytes: (bytes: Uint8Array) => void
  readonly onDrain: () => void
}

export function recordSocketOf(connection: MessageStream, init: RecordSocketInit): RecordSocket {
  const socket = socketOf(connection)
  return socket === null ? new ConnectionSocket(connection, init) : new TcpSocket(socket, init)
}

/**
 * The socket of a connection of @libp2p/tcp, when nothing but that connection reads it and nothing is held back in
 * between. Its class keeps the socket in a field that its types do not show: looked at, never relied on.
 */
function socketOf(connection: MessageStream): Socket | null {
  const socket: unknown = Reflect.get(connection, 'socket')
  if (!(socket instanceof Socket) || socket.listenerCount('data') !== 1 || socket.destroyed) return null
  return connection.readBufferLength === 0 && connection.writeBufferLength === 0 ? socket : null
}

class TcpSocket implements RecordSocket {
  readonly #socket: Socket
  readonly #init: RecordSocketInit

  constructor(socket: Socket, init: RecordSocketInit) {
    this.#socket = socket
    this.#init = init
    socket.removeAllListeners('data')
    socket.on('data', this.#onData)
    socket.on('drain', init.onDrain)
  }

  get isFull(): boolean {
    return this.#socket.writableLength > MAX_WAITING_BYTES
  }

  get waitingBytes(): number {
    return this.#socket.writableLength
  }

  write(parts: readonly Uint8Array[]): void {
    const [first] = parts
    if (parts.length === 1 && first !== undefined) return void this.#socket.write(first)
    const last = parts.length - 1
    this.#socket.cork()
    for (let at = 0; at < last; at++) this.#socket.write(parts[at] ?? EMPTY)
    this.#socket.write(parts[last] ?? EMPTY, (error) => {
      if (error === null || error === undefined) for (const part of parts) giveBack(part)
    })
    this.#socket.uncork()
  }

  readonly #onData = (bytes: Uint8Array): void => {
    this.#init.onBytes(bytes)
    giveBack(bytes)
  }

  detach(): void {
    this.#socket.off('data', this.#onData)
    this.#socket.off('drain', this.#init.onDrain)
  }
}

const EMPTY = new Uint8Array(0)
/** Smaller ones may share their memory with others, and cost the collector little. */
const GIVE_BACK_FROM_BYTES = 16 * 1_024

/**
 * Frees memory that was used once, without waiting for the garbage collector: it sees only the small objects that stand
 * for these buffers, and runs late and for long. Moving the memory elsewhere is how JavaScript frees it.
 */
function giveBack({ buffer, byteLength }: Uint8Array): void {
  const isWhole = byteLength >= GIVE_BACK_FROM_BYTES && byteLength === buffer.byteLength
  if (isWhole && buffer instanceof ArrayBuffer) buffer.transfer(0)
}

class ConnectionSocket implements RecordSocket {
  readonly #connection: MessageStream
  readonly #stop = new AbortController()

  constructor(connection: MessageStream, { onBytes, onDrain }: RecordSocketInit) {
    const { signal } = this.#stop
    this.#connection = connection
    connection.addEventListener('drain', onDrain, { signal })
    connection.addEventListener(
      'message',
      ({ data }) => {
        if (data instanceof Uint8Array) return onBytes(data)
        for (const chunk of data) onBytes(chunk)
      },
      { signal },
    )
  }

  get isFull(): boolean {
    return this.#connection.writableNeedsDrain
  }

  get waitingBytes(): number {
    return this.#connection.writeBufferLength
  }

  /** One message for one record: a WebSocket frames each. */
  write(parts: readonly Uint8Array[]): void {
    const [first] = parts
    this.#connection.send(parts.length === 1 && first !== undefined ? first : Buffer.concat(parts))
  }

  detach(): void {
    this.#stop.abort()
  }
}
