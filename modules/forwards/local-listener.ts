/** One local forward: a TCP listener whose connections go to a service of a peer. */
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { deadline, isNzError } from '../../kernel/index.ts'
import { decodeAnswer, encodeHeader, FORWARD_PROTOCOL } from '../../protocols/forward/header.ts'
import { shortFrame } from '../../protocols/framing/short-frames.ts'
import type { Clock, Logger } from '../../kernel/index.ts'
import type { ContactsService } from '../contacts/service.ts'
import type { NetworkService, PeerStream } from '../network/service.ts'
import { readFrame } from './frame-stream.ts'
import { forwardsErrors } from './service.ts'
import { splice } from './splice.ts'
import type { Tally } from './tally.ts'

const DIAL_TIMEOUT_MS = 20_000
/** Longer than the other side may take to connect to its target. */
const ANSWER_TIMEOUT_MS = 15_000
const KEEP_ALIVE_MS = 60_000

export interface LocalListenerServices {
  readonly network: NetworkService
  readonly contacts: ContactsService
  readonly clock: Clock
  readonly log: Logger
}

export interface LocalListenerOptions {
  readonly peerId: string
  readonly service: string
  readonly tally: Tally
}

export class LocalListener {
  readonly #services: LocalListenerServices
  readonly #options: LocalListenerOptions
  readonly #server: Server
  readonly #closing = new AbortController()
  /** Bounded by the tally. */
  readonly #open = new Set<Promise<void>>()

  constructor(services: LocalListenerServices, options: LocalListenerOptions) {
    this.#services = services
    this.#options = options
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => this.#accept(socket))
  }

  /** The port that is listened on. @throws NZ_FORWARD_PORT_TAKEN, NZ_FORWARD_PORT_DENIED */
  async listen(host: string, port: number): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#server.once('error', reject)
    this.#server.listen({ host, port }, resolve)
    try {
      await promise
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? cause.code : null
      const data = { host, port }
      if (code === 'EADDRINUSE') throw forwardsErrors.NZ_FORWARD_PORT_TAKEN({ cause, data })
      throw forwardsErrors.NZ_FORWARD_PORT_DENIED({ cause, why: String(code), data })
    }
    this.#server.off('error', reject)
    this.#server.on('error', (error) => this.#services.log.warn('forwards.listenerFailed', { host, port, error }))
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : port
  }

  /** Cuts every connection. */
  async close(): Promise<void> {
    this.#closing.abort()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#server.close(() => resolve())
    await Promise.all([promise, ...this.#open])
  }

  #accept(socket: Socket): void {
    const { tally } = this.#options
    if (tally.isFull) {
      tally.lastCode = 'NZ_FORWARD_BUSY'
      socket.resetAndDestroy()
      return
    }
    const release = tally.open()
    const carried = this.#carry(socket).finally(() => {
      release()
      this.#open.delete(carried)
    })
    this.#open.add(carried)
  }

  /** Never throws: what goes wrong resets the connection and is kept as the last code. */
  async #carry(socket: Socket): Promise<void> {
    const { log } = this.#services
    const { peerId, service, tally } = this.#options
    socket.on('error', (error) => log.debug('forwards.socketFailed', { service, error }))
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    socket.setNoDelay(true)
    let stream: PeerStream | null = null
    try {
      stream = await this.#dial()
      const { body, rest } = await this.#greet(stream)
      const answer = decodeAnswer(body)
      if (answer.type === 'refused') throw forwardsErrors[answer.code]({ data: { peerId, service } })
      tally.connected()
      await splice(socket, stream, { firstBytes: rest, signal: this.#closing.signal, onBytes: tally.count })
    } catch (error) {
      stream?.reset()
      socket.resetAndDestroy()
      if (this.#closing.signal.aborted) return
      tally.lastCode = isNzError(error) ? error.code : 'NZ_FORWARD_PROTOCOL'
      log.info('forwards.connectionFailed', { peerId, service, error })
    }
  }

  async #dial(): Promise<PeerStream> {
    const { network, contacts, clock } = this.#services
    const { peerId } = this.#options
    const { addresses } = contacts.resolve(peerId)
    using limit = deadline(clock, DIAL_TIMEOUT_MS, { signal: this.#closing.signal })
    await network.connect(peerId, { addresses, signal: limit.signal })
    return await network.openStream(peerId, FORWARD_PROTOCOL, { signal: limit.signal })
  }

  async #greet(stream: PeerStream) {
    const { signal } = this.#closing
    await stream.write(shortFrame(encodeHeader(this.#options.service)), { signal })
    return await readFrame(stream, this.#services.clock, ANSWER_TIMEOUT_MS, signal)
  }
}
