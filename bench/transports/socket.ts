/** node:net and node:tls 1.3, as they are and with 64 messages a write. */
import { once } from 'node:events'
import { connect as connectTcp, createServer as createTcpServer } from 'node:net'
import type { AddressInfo, Server as NetServer, Socket } from 'node:net'
import { connect as connectTls, createServer as createTlsServer } from 'node:tls'
import type { ConnectionOptions } from 'node:tls'
import { certificate, key } from './tls-certificate.ts'
import type { Pipe, Server, Transport } from '../pipe.ts'

const MESSAGES_PER_WRITE = 64
const LOOPBACK = '127.0.0.1'
const CIPHER = 'TLS_CHACHA20_POLY1305_SHA256'
const TLS = { minVersion: 'TLSv1.3' } as const
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
    pause: () => void socket.pause(),
    async close() {
      socket.destroy()
    },
  }
}

async function listening(server: NetServer): Promise<Server> {
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

function socketsOf(
  serve: (onSocket: (socket: Socket) => void) => NetServer,
  connect: (port: number) => Promise<Socket>,
  messagesPerWrite: number,
): Transport {
  const listen = async (onPipe: (pipe: Pipe) => void): Promise<Server> =>
    await listening(serve((socket) => onPipe(pipeOf(socket, 1))))
  const open = async (address: string): Promise<Pipe> => pipeOf(await connect(Number(address)), messagesPerWrite)
  return {
    serve: listen,
    async connect(address) {
      const held: Pipe[] = []
      return {
        open: async () => await open(address),
        dial: async () => await (await open(address)).close(),
        async hold(count) {
          for (let i = 0; i < count; i++) held.push(await open(address))
        },
        async close() {
          for (const pipe of held) await pipe.close()
        },
      }
    },
    join: async (onPipe) => ({ ...(await listen(onPipe)), open }),
  }
}

async function connectedTcp(port: number): Promise<Socket> {
  const socket = connectTcp(port, LOOPBACK)
  await once(socket, 'connect')
  return socket
}

async function connectedTls(port: number, options: ConnectionOptions): Promise<Socket> {
  const socket = connectTls({ ...options, host: LOOPBACK, port, checkServerIdentity: () => undefined })
  await once(socket, 'secureConnect')
  return socket
}

const tcp = (messagesPerWrite: number): Transport => socketsOf(createTcpServer, connectedTcp, messagesPerWrite)

/** With a key both sides have: the cheapest handshake of TLS. */
const tlsOf = (messagesPerWrite: number): Transport =>
  socketsOf(
    (onSocket) => createTlsServer({ ...TLS, ciphers: `${CIPHER}:PSK`, pskCallback: () => TLS_KEY }, onSocket),
    async (port) =>
      await connectedTls(port, {
        ...TLS,
        ciphers: `${CIPHER}:PSK`,
        pskCallback: () => ({ psk: TLS_KEY, identity: 'bench' }),
      }),
    messagesPerWrite,
  )

export const tcpNaive: Transport = tcp(1)
export const tcpCorked: Transport = tcp(MESSAGES_PER_WRITE)
export const tls: Transport = tlsOf(1)
export const tlsBatched: Transport = tlsOf(MESSAGES_PER_WRITE)

/** Each side proves who it is to the other, as peers of libp2p do. */
const mutual = { ...TLS, ciphers: CIPHER, key, cert: certificate, ca: certificate }
export const tlsMutual: Transport = socketsOf(
  (onSocket) => createTlsServer({ ...mutual, requestCert: true, rejectUnauthorized: true }, onSocket),
  async (port) => await connectedTls(port, mutual),
  1,
)
