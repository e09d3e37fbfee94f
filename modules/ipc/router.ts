/** Turns the contract into the request and upgrade listeners of a `node:http` server. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex as NodeDuplex } from 'node:stream'
import { NzError } from '../../kernel/index.ts'
import { DUPLEX_PROTOCOL } from '../../protocols/ipc/duplex.ts'
import { ipcErrors } from '../../protocols/ipc/errors.ts'
import { FramedDuplex } from '../../protocols/ipc/framed-duplex.ts'
import { PROBLEM_TYPE, problemOf, publicError } from '../../protocols/ipc/problem.ts'
import { decodeQuery } from '../../protocols/ipc/query.ts'
import { pipeOfSocket } from '../../protocols/ipc/socket-pipe.ts'
import { readJsonBody } from './body.ts'
import { permits } from './caller.ts'
import { sendEvents } from './sse.ts'
import type { Clock, Logger } from '../../kernel/index.ts'
import type { Caller, Contract, Endpoint } from '../../protocols/ipc/endpoint.ts'
import type { Authenticate } from './caller.ts'
import type { Dispatcher } from './dispatch.ts'
import type { OpenStreams } from './open-streams.ts'

export interface RouterInit {
  readonly contract: Contract
  readonly dispatcher: Dispatcher
  readonly authenticate: Authenticate
  readonly streams: OpenStreams
  readonly clock: Clock
  readonly log: Logger
  /** Aborts, with an `NzError`, when the node stops: ends every stream and duplex. */
  readonly signal: AbortSignal
}

interface Route {
  readonly id: string
  readonly endpoint: Endpoint
}

interface Target extends Route {
  readonly caller: Caller
  readonly query: URLSearchParams
}

export class Router {
  readonly #init: RouterInit
  /** By path, then by method. */
  readonly #routes = new Map<string, Map<string, Route>>()

  constructor(init: RouterInit) {
    this.#init = init
    for (const [id, endpoint] of Object.entries(init.contract)) {
      const path = `/v1${endpoint.path}`
      this.#routes.set(
        path,
        (this.#routes.get(path) ?? new Map<string, Route>()).set(endpoint.method, { id, endpoint }),
      )
    }
  }

  /** Answers every request; never rejects. */
  async onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    const signal = AbortSignal.any([gone.signal, this.#init.signal])
    try {
      const target = await this.#target(request)
      if (target.endpoint.kind === 'duplex') throw ipcErrors.NZ_IPC_UPGRADE_REQUIRED()
      if (target.endpoint.kind === 'stream') await this.#serveStream(target, request, response, signal)
      else {
        const params = await paramsOf(target, request)
        const options = { signal, caller: target.caller }
        sendJson(response, 200, await this.#init.dispatcher.call(target.id, params, options))
      }
    } catch (error) {
      if (!gone.signal.aborted) this.#refuse(request, response, error)
    }
  }

  /** Answers an upgrade and runs the duplex to its end; never rejects. */
  async onUpgrade(request: IncomingMessage, stream: NodeDuplex, head: Buffer): Promise<void> {
    // node:http declares the base class and gives a net.Socket.
    const socket = stream as Socket
    const onError = (): void => void socket.destroy()
    socket.on('error', onError)
    try {
      const target = await this.#target(request)
      if (target.endpoint.kind !== 'duplex') throw ipcErrors.NZ_IPC_UPGRADE_REFUSED()
      if (request.headers.upgrade !== DUPLEX_PROTOCOL) {
        throw ipcErrors.NZ_IPC_UPGRADE_REFUSED({ data: { upgrade: DUPLEX_PROTOCOL } })
      }
      using slot = this.#init.streams.open(target.caller)
      const run = await this.#init.dispatcher.duplex(target.id, decodeQuery(target.endpoint.params, target.query))
      if (socket.destroyed) return
      if (head.byteLength > 0) socket.unshift(head)
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${DUPLEX_PROTOCOL}\r\n\r\n`)
      const duplex = new FramedDuplex(pipeOfSocket(socket, this.#init.clock))
      const signal = AbortSignal.any([slot.signal, this.#init.signal])
      const onAbort = (): void => duplex.fail(signal.reason)
      signal.addEventListener('abort', onAbort, { once: true })
      await run(duplex, { signal, caller: target.caller })
      signal.removeEventListener('abort', onAbort)
      duplex.release()
    } catch (error) {
      refuseRaw(socket, this.#told(error))
    }
  }

  async #target(request: IncomingMessage): Promise<Target> {
    if (this.#init.signal.aborted) throw ipcErrors.NZ_IPC_STOPPING()
    const caller = await this.#init.authenticate(request)
    const url = request.url ?? ''
    if (!url.startsWith('/') || /[^\x21-\x7e]/.test(url)) throw ipcErrors.NZ_IPC_REQUEST_MALFORMED()
    const cut = url.indexOf('?')
    const methods = this.#routes.get(cut === -1 ? url : url.slice(0, cut))
    if (methods === undefined) throw ipcErrors.NZ_IPC_ENDPOINT_UNKNOWN()
    const route = methods.get(request.method ?? '')
    if (route === undefined) throw ipcErrors.NZ_IPC_METHOD_WRONG()
    const { capability } = route.endpoint
    if (!permits(caller, capability)) throw ipcErrors.NZ_IPC_CAPABILITY_MISSING({ data: { capability } })
    return { ...route, caller, query: new URLSearchParams(cut === -1 ? '' : url.slice(cut + 1)) }
  }

  async #serveStream(
    target: Target,
    request: IncomingMessage,
    response: ServerResponse,
    callerGone: AbortSignal,
  ): Promise<void> {
    const { dispatcher, streams, clock } = this.#init
    using slot = streams.open(target.caller)
    const signal = AbortSignal.any([callerGone, slot.signal])
    const params = await paramsOf(target, request)
    const items = await dispatcher.stream(target.id, params, { signal, caller: target.caller })
    await sendEvents(response, { endpoint: target.endpoint, items, clock, signal })
  }

  #refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    const known = this.#told(error)
    if (response.headersSent) return void response.destroy()
    // What is left of the request is not read, so the connection cannot carry another one.
    if (!request.complete) response.setHeader('connection', 'close')
    if (known.status === 401) response.setHeader('www-authenticate', 'Bearer')
    sendJson(response, known.status, problemOf(known), PROBLEM_TYPE)
  }

  #told(error: unknown): NzError {
    if (!(error instanceof NzError)) this.#init.log.error('ipc.requestFailed', { error })
    return publicError(error)
  }
}

async function paramsOf({ endpoint, query }: Target, request: IncomingMessage): Promise<Record<string, unknown>> {
  const params = endpoint.method === 'GET' ? decodeQuery(endpoint.params, query) : await readJsonBody(request)
  const place = request.headers['last-event-id']
  if (endpoint.resume === undefined || typeof place !== 'string') return params
  return { ...params, [endpoint.resume.param]: place }
}

function sendJson(response: ServerResponse, status: number, value: unknown, type = 'application/json'): void {
  const body = Buffer.from(JSON.stringify(value))
  response.writeHead(status, {
    'content-type': type,
    'content-length': body.byteLength,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  })
  response.end(body)
}

const reasons: Readonly<Record<number, string>> = { 400: 'Bad Request', 431: 'Request Header Fields Too Large' }

/** Answers with a problem on a connection that has no `ServerResponse`, and closes it. */
export function refuseRaw(socket: NodeDuplex, error: NzError): void {
  if (!socket.writable) return void socket.destroy()
  const body = JSON.stringify(problemOf(error))
  const head = [
    `HTTP/1.1 ${error.status} ${reasons[error.status] ?? 'Refused'}`,
    `content-type: ${PROBLEM_TYPE}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy())
}
