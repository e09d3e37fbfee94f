/** Requests to the local API: over its Unix socket, or over TCP with an access token. */
import { IncomingMessage, request as httpRequest } from 'node:http'
import type { Agent, RequestOptions } from 'node:http'
import type { Socket } from 'node:net'
import { systemClock } from '../kernel/index.ts'
import { DUPLEX_PROTOCOL } from '../protocols/ipc/duplex.ts'
import { ipcErrors } from '../protocols/ipc/errors.ts'
import { FramedDuplex } from '../protocols/ipc/framed-duplex.ts'
import { MAX_ANSWER_BYTES } from '../protocols/ipc/limits.ts'
import { errorFromProblem, PROBLEM_TYPE } from '../protocols/ipc/problem.ts'
import { encodeQuery } from '../protocols/ipc/query.ts'
import { pipeOfSocket } from '../protocols/ipc/socket-pipe.ts'
import type { CallOptions, Duplex, Route } from '../protocols/ipc/endpoint.ts'

export type Target = { readonly agent: Agent } & (
  | { readonly socketPath: string }
  | { readonly url: string; readonly token: string }
)

/** The answer's head, when it is a good one. @throws the error that the node answered with */
export async function sendRequest(
  target: Target,
  route: Route,
  params: object,
  { signal }: CallOptions = {},
  headers: Readonly<Record<string, string>> = {},
): Promise<IncomingMessage> {
  const isRead = route.method === 'GET'
  const body = isRead ? null : Buffer.from(JSON.stringify(params))
  const options = requestOptions(target, route, isRead ? params : {})
  const open = async (agent: Agent | false): Promise<IncomingMessage> =>
    await new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      const request = httpRequest({
        ...options,
        agent,
        headers: {
          ...options.headers,
          ...headers,
          ...(body === null ? {} : { 'content-type': 'application/json', 'content-length': body.byteLength }),
        },
        ...(signal === undefined ? {} : { signal }),
      })
      request.once('response', resolve)
      request.on('error', (error) => {
        // The node closes a kept connection that was idle for some seconds, also when this request has just left.
        const isStale = isRead && request.reusedSocket && 'code' in error && error.code === 'ECONNRESET'
        if (isStale && signal?.aborted !== true) resolve(open(false))
        else reject(lost(error, signal))
      })
      request.end(body ?? undefined)
    })
  const response = await open(target.agent)
  if (response.statusCode === 200) return response
  throw await answeredError(response)
}

/** @throws NZ_IPC_ANSWER_INVALID when it is no JSON of bounded size */
export async function readAnswer(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.byteLength
      if (size > MAX_ANSWER_BYTES) throw ipcErrors.NZ_IPC_ANSWER_INVALID({ why: 'the answer is too large' })
      chunks.push(chunk)
    }
  } catch (error) {
    throw lost(error)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown
  } catch (cause) {
    throw ipcErrors.NZ_IPC_ANSWER_INVALID({ cause })
  }
}

/** Aborting the signal ends both directions at any time. */
export async function openDuplex(
  target: Target,
  route: Route,
  params: object,
  { signal }: CallOptions = {},
): Promise<Duplex<unknown, never>> {
  const options = requestOptions(target, route, params)
  const answer = await new Promise<Socket | IncomingMessage>((resolve, reject) => {
    signal?.throwIfAborted()
    const request = httpRequest({
      ...options,
      agent: false,
      headers: { ...options.headers, connection: 'Upgrade', upgrade: DUPLEX_PROTOCOL },
      ...(signal === undefined ? {} : { signal }),
    })
    request.once('upgrade', (_response, socket, head) => {
      if (head.byteLength > 0) socket.unshift(head)
      resolve(socket as Socket)
    })
    request.once('response', resolve)
    request.on('error', (error) => reject(lost(error, signal)))
    request.end()
  })
  if (answer instanceof IncomingMessage) throw await answeredError(answer)
  const duplex = new FramedDuplex(pipeOfSocket(answer, systemClock))
  const onAbort = (): void => duplex.fail(signal?.reason)
  if (signal?.aborted === true) onAbort()
  signal?.addEventListener('abort', onAbort, { once: true })
  duplex.signal.addEventListener('abort', () => signal?.removeEventListener('abort', onAbort), { once: true })
  return duplex
}

function requestOptions(
  target: Target,
  { method, path }: Route,
  queryParams: object,
): Omit<RequestOptions, 'headers'> & { readonly headers: Readonly<Record<string, string>> } {
  const query = encodeQuery(queryParams).toString()
  const pathAndQuery = `/v1${path}${query === '' ? '' : `?${query}`}`
  if ('socketPath' in target) {
    return { socketPath: target.socketPath, method, path: pathAndQuery, headers: { host: 'localhost' } }
  }
  const { hostname, port, host } = new URL(target.url)
  return {
    // A URL writes IPv6 addresses in brackets, a socket does not.
    hostname: hostname.replace(/^\[|\]$/g, ''),
    port,
    method,
    path: pathAndQuery,
    headers: { host, authorization: `Bearer ${target.token}` },
  }
}

async function answeredError(response: IncomingMessage): Promise<Error> {
  const body = await readAnswer(response)
  if (response.headers['content-type'] === PROBLEM_TYPE) return errorFromProblem(body)
  return ipcErrors.NZ_IPC_ANSWER_INVALID({ data: { status: response.statusCode } })
}

/** What a failed connection means; the caller's own abort stays what it is. */
export function lost(error: unknown, signal?: AbortSignal): Error {
  if (signal?.aborted === true) return signal.reason as Error
  if (!(error instanceof Error) || !('code' in error)) return ipcErrors.NZ_IPC_CONNECTION_LOST({ cause: error })
  if (String(error.code).startsWith('NZ_')) return error
  const isAbsent = error.code === 'ENOENT' || error.code === 'ECONNREFUSED'
  return isAbsent ? ipcErrors.NZ_IPC_NOT_RUNNING({ cause: error }) : ipcErrors.NZ_IPC_CONNECTION_LOST({ cause: error })
}
