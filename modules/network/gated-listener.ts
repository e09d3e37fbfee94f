/**
 * Puts the accept gate in front of libp2p's listeners: they see a socket only after its first byte, and a socket whose
 * peer has not proven its id in time is destroyed. libp2p's own limits count silent sockets as handshakes (TCP), or do
 * not count and never time them out (WebSocket), so two silent connections a second lock everybody out.
 */
import { Server } from 'node:net'
import { canonicalIp, hostOf } from './address.ts'
import type { Socket } from 'node:net'
import type { Transport as Libp2pTransport } from '@libp2p/interface'
import type { Clock } from '../../kernel/index.ts'
import type { AcceptGate } from './accept-gate.ts'

/** Bytes of one WebSocket message: a Noise record is at most 65 537. The default of the library is 100 MiB. */
const MAX_WEBSOCKET_MESSAGE_BYTES = 256 * 1024
/** How long a closed connection's socket may take for its last bytes. */
const LINGER_MS = 1_000

export interface GatedSocketsInit {
  readonly gate: AcceptGate
  readonly clock: Clock
  /** From the accepted socket to the proven peer id. */
  readonly handshakeTimeoutMs: number
  readonly onRefused: (address: string, reason: string) => void
}

interface Entry {
  readonly socket: Socket
  readonly open: () => void
  readonly isOpen: () => boolean
}

/** The incoming sockets of all listeners, by the address they come from. */
export class GatedSockets {
  readonly #init: GatedSocketsInit
  readonly #entries = new Map<string, Entry>()
  #isStopping = false

  constructor(init: GatedSocketsInit) {
    this.#init = init
  }

  /** A transport factory whose listeners are gated. */
  gated<Components>(
    create: (components: Components) => Libp2pTransport,
    name: 'tcp' | 'websocket',
  ): (components: Components) => Libp2pTransport {
    return (components) => {
      const transport = create(components)
      const createListener = transport.createListener.bind(transport)
      transport.createListener = (options) => {
        const listener = createListener(options)
        this.#guard(listener, name)
        return listener
      }
      return transport
    }
  }

  /** The peer at `remoteAddress` (a multiaddr) has proven its id. */
  opened(remoteAddress: string): void {
    this.#entries.get(keyOf(remoteAddress))?.open()
  }

  /** Its connection is closed; what is left of the socket goes soon. */
  closed(remoteAddress: string): void {
    const entry = this.#entries.get(keyOf(remoteAddress))
    if (entry !== undefined) this.#init.clock.setTimer(LINGER_MS, () => entry.socket.destroy(), { unref: true })
  }

  /** Refuses what comes from now on and drops every handshake that is under way; open connections go on. */
  stop(): void {
    this.#isStopping = true
    for (const { socket, isOpen } of this.#entries.values()) if (!isOpen()) socket.destroy()
  }

  /** @throws when the library's listener is not what it was: better no node than an open gate */
  #guard(listener: object, name: 'tcp' | 'websocket'): void {
    const server: unknown = Reflect.get(listener, 'server')
    if (!(server instanceof Server)) throw new TypeError(`listener of ${name} has no server to guard`)
    if (name === 'websocket') tameWebSockets(listener)
    const own = server.listeners('connection')
    server.removeAllListeners('connection')
    server.on('connection', (socket: Socket) => {
      const pass = (): void => own.forEach((listen) => void Reflect.apply(listen, server, [socket]))
      this.#arrive(socket, name, pass)
    })
  }

  #arrive(socket: Socket, name: 'tcp' | 'websocket', pass: () => void): void {
    const { remoteAddress, remotePort } = socket
    socket.on('error', () => socket.destroy())
    if (remoteAddress === undefined || remotePort === undefined || this.#isStopping) return void socket.destroy()
    const guest = this.#init.gate.arrive(remoteAddress, () => socket.resetAndDestroy())
    if (typeof guest === 'string') return this.#refuse(socket, remoteAddress, guest)
    const key = `${name} ${canonicalIp(remoteAddress)} ${remotePort}`
    const timer = this.#init.clock.setTimer(this.#init.handshakeTimeoutMs, () => socket.destroy(), { unref: true })
    let isOpen = false
    const open = (): void => {
      isOpen = true
      timer.cancel()
      guest.open()
    }
    this.#entries.set(key, { socket, open, isOpen: () => isOpen })
    socket.once('close', () => {
      timer.cancel()
      guest.leave()
      this.#entries.delete(key)
    })
    socket.once('readable', () => {
      if (socket.readableLength === 0) return void socket.destroy()
      const refusal = guest.greet()
      if (refusal === null) pass()
      else this.#refuse(socket, remoteAddress, refusal)
    })
  }

  #refuse(socket: Socket, address: string, reason: string): void {
    socket.resetAndDestroy()
    this.#init.onRefused(address, reason)
  }
}

/** `/ip4/192.0.2.1/tcp/4001/ws` as the sockets are kept. */
function keyOf(address: string): string {
  const port = address.split('/')[4] ?? ''
  return `${/\/wss?(\/|$)/.test(address) ? 'websocket' : 'tcp'} ${canonicalIp(hostOf(address) ?? '')} ${port}`
}

/**
 * Bounds the messages of the WebSocket server, and takes the errors of its sockets: nobody else listens to them, so one
 * malformed frame of a stranger would end the process.
 */
function tameWebSockets(listener: object): void {
  const server = objectAt(listener, 'wsServer')
  Reflect.set(objectAt(server, 'options'), 'maxPayload', MAX_WEBSOCKET_MESSAGE_BYTES)
  const handleUpgrade: unknown = Reflect.get(server, 'handleUpgrade')
  if (typeof handleUpgrade !== 'function') throw new TypeError('WebSocket server takes no upgrades')
  Reflect.set(server, 'handleUpgrade', (...[request, socket, head, onSocket]: UpgradeArguments) => {
    const onTamed: OnWebSocket = (webSocket, ...rest) => {
      webSocket.on('error', () => webSocket.terminate())
      onSocket(webSocket, ...rest)
    }
    Reflect.apply(handleUpgrade, server, [request, socket, head, onTamed])
  })
}

interface WebSocketOfServer {
  on(event: 'error', listener: () => void): unknown
  terminate(): void
}
type OnWebSocket = (webSocket: WebSocketOfServer, ...rest: unknown[]) => void
type UpgradeArguments = [request: unknown, socket: unknown, head: unknown, onSocket: OnWebSocket]

function objectAt(holder: object, key: string): object {
  const value: unknown = Reflect.get(holder, key)
  if (typeof value !== 'object' || value === null) throw new TypeError(`WebSocket listener has no ${key}`)
  return value
}
