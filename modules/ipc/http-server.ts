/** A `node:http` server with every bound set, whose refusals carry codes also where node:http gives up. */
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Clock, Logger } from '../../kernel/index.ts'
import { ipcErrors } from '../../protocols/ipc/errors.ts'
import {
  HEADERS_DEADLINE_MS,
  MAX_CONNECTIONS,
  MAX_HEADER_BYTES,
  REQUEST_DEADLINE_MS,
  STREAM_BUFFER_BYTES,
} from '../../protocols/ipc/limits.ts'
import { refuseRaw } from './router.ts'
import type { Router } from './router.ts'

/** How long the last answers may take to leave when the node stops. */
export const CLOSE_DEADLINE_MS = 1_000

export interface HttpServer {
  readonly server: Server
  /** Stops accepting and closes every connection. Idempotent. */
  close(): Promise<void>
}

export interface HttpServerServices {
  readonly clock: Clock
  readonly log: Logger
}

export function createHttpServer(router: Router, { clock, log }: HttpServerServices): HttpServer {
  const sockets = new Set<Socket>()
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_DEADLINE_MS,
      requestTimeout: REQUEST_DEADLINE_MS,
      connectionsCheckingInterval: 1_000,
      highWaterMark: STREAM_BUFFER_BYTES,
      keepAliveTimeout: 5_000,
      // access.ts refuses a missing one with a code.
      requireHostHeader: false,
    },
    (request, response) => void router.onRequest(request, response),
  )
  server.maxHeadersCount = 64
  // Descriptors that have run out show here: without a listener they would end the process.
  server.on('error', (error) => log.warn('ipc.serverFailed', { error }))
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    if (sockets.size <= MAX_CONNECTIONS) return
    socket.on('error', () => socket.destroy())
    refuseRaw(socket, ipcErrors.NZ_IPC_TOO_MANY_CONNECTIONS({ data: { limit: MAX_CONNECTIONS } }))
  })
  server.on('upgrade', (request, socket, head) => void router.onUpgrade(request, socket, head))
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
    if (error.code === 'HPE_HEADER_OVERFLOW') refuseRaw(socket, ipcErrors.NZ_IPC_HEADERS_TOO_LARGE())
    else refuseRaw(socket, ipcErrors.NZ_IPC_REQUEST_MALFORMED({ data: { reason: error.code ?? 'unknown' } }))
  })
  return {
    server,
    async close() {
      if (!server.listening) return
      const closed = Promise.withResolvers<void>()
      server.close(() => closed.resolve())
      server.closeIdleConnections()
      // Lets what is being written leave, but waits for nobody who does not read.
      for (const socket of sockets) socket.destroySoon()
      const patience = clock.setTimer(CLOSE_DEADLINE_MS, () => {
        for (const socket of sockets) socket.destroy()
      })
      await closed.promise
      patience.cancel()
    },
  }
}
