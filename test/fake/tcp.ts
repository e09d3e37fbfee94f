/** TCP on the loopback for tests of forwards: servers on any free port, and whole conversations. */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

export interface TestServer extends AsyncDisposable {
  readonly port: number
  readonly sockets: ReadonlySet<Socket>
}

/** Half-open sockets are kept; `onSocket` decides what happens. */
export async function tcpServer(onSocket: (socket: Socket) => void): Promise<TestServer> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    onSocket(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Sends everything back; its end follows the sender's end. */
export async function echoServer(): Promise<TestServer> {
  return await tcpServer((socket) => void socket.pipe(socket))
}

export interface Conversation {
  readonly received: Buffer
  /** `null` when it ended in order. */
  readonly errorCode: string | null
}

/** Sends `bytes`, ends its side, and reads to the end. */
export async function converse(port: number, bytes: Uint8Array): Promise<Conversation> {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
  const received: Buffer[] = []
  let errorCode: string | null = null
  socket.on('error', (error: NodeJS.ErrnoException) => {
    errorCode = error.code ?? 'unknown'
  })
  socket.on('data', (chunk: Buffer) => received.push(chunk))
  socket.end(bytes)
  await new Promise<void>((resolve) => socket.once('close', () => resolve()))
  return { received: Buffer.concat(received), errorCode }
}
