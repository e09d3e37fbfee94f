/** node:net as it is, node:net with 64 messages a write, and node:tls 1.3 with a key both sides have. */
import { once } from 'node:events'
import { connect as connectTcp, createServer as createTcpServer } from 'node:net'
import type { AddressInfo, Server as NetServer, Socket } from 'node:net'
import { connect as connectTls, createServer as createTlsServer } from 'node:tls'
import type { Pipe, Transport } from '../pipe.ts'

const MESSAGES_PER_WRITE = 64
const LOOPBACK = '127.0.0.1'
const TLS = {
  ciphers: 'TLS_CHACHA20_POLY1305_SHA256:PSK',
  minVersion: 'TLSv1.3',
} as const
/** Known to everybody: this protects a bench on loopback from nobody. */
const TLS_KEY = Buffer.alloc(32, 7)

function pipeOf(socket: Socket, messagesPerWrite: number): Pipe {
  let held = 0
  socket.setNoDelay(true)
  return {
    write(bytes) {
      if (messagesPerWrite > 1 && held === 0) socket.cork()
      held++
      const hasRoom = socket.write(bytes)
      if (held >= messagesPerWrite) {
        held = 0
        if (messagesPerWrite > 1) socket.uncork()
      }
      if (hasRoom || (messagesPerWrite > 1 && held > 0)) return undefined
      return once(socket, 'drain').then(() => undefined)
    },
    flush() {
      held = 0
      socket.uncork()
    },
    onBytes: (listener) => void socket.on('data', listener),
    async close() {
      socket.destroy()
    },
  }
}

async function listening(server: NetServer): Promise<{ address: string; close(): Promise<void> }> {
  server.listen(0, LOOPBACK)
  await once(server, 'listening')
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
  })
  return {
    address: String((server.address() as AddressInfo).port),
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

function tcp(messagesPerWrite: number): Transport {
  return {
    async serve(onPipe) {
      return await listening(createTcpServer((socket) => onPipe(pipeOf(socket, 1))))
    },
    async connect(address) {
      const open = async (): Promise<Pipe> => {
        const socket = connectTcp(Number(address), LOOPBACK)
        await once(socket, 'connect')
        return pipeOf(socket, messagesPerWrite)
      }
      return { open, dial: async () => await (await open()).close(), async close() {} }
    },
  }
}

export const tcpNaive: Transport = tcp(1)
export const tcpCorked: Transport = tcp(MESSAGES_PER_WRITE)

export const tls: Transport = {
  async serve(onPipe) {
    return await listening(
      createTlsServer({ ...TLS, pskCallback: () => TLS_KEY }, (socket) => onPipe(pipeOf(socket, 1))),
    )
  },
  async connect(address) {
    const open = async (): Promise<Pipe> => {
      const socket = connectTls({
        ...TLS,
        host: LOOPBACK,
        port: Number(address),
        pskCallback: () => ({ psk: TLS_KEY, identity: 'bench' }),
        checkServerIdentity: () => undefined,
      })
      await once(socket, 'secureConnect')
      return pipeOf(socket, 1)
    }
    return { open, dial: async () => await (await open()).close(), async close() {} }
  },
}
