/**
 * A typed client of the local API: its types come from the contract, its requests from the routes rendered from it, so
 * that it loads no schemas. The node checks the params; every call takes an `AbortSignal`.
 */
import { Agent } from 'node:http'
import { deadline, systemClock } from '../kernel/index.ts'
import { ipcErrors } from '../protocols/ipc/errors.ts'
import { CALLER_DEADLINE_MS } from '../protocols/ipc/limits.ts'
import { routes } from '../protocols/ipc/routes.ts'
import type { contract } from '../protocols/ipc/contract.ts'
import type { CallOptions, Client, Contract, Route, Routes } from '../protocols/ipc/endpoint.ts'
import { openDuplex, readAnswer, sendRequest } from './http.ts'
import { readEvents } from './event-stream.ts'
import type { Target } from './http.ts'

export type NzClient = Client<typeof contract>

export type ClientInit =
  | { readonly socketPath: string }
  /** `url` such as `http://127.0.0.1:4080`; the token from `nzcore token create`. */
  | { readonly url: string; readonly token: string }

/**
 * A client of the node that listens on `socketPath` or at `url`. Opens connections when they are needed; idle ones do
 * not keep the process alive. Nothing is tried twice: a call that failed says in `retryable` whether that makes sense.
 *
 * @throws NZ_IPC_NOT_RUNNING (any call) when nobody listens, NZ_IPC_CONNECTION_LOST when the connection broke,
 *   NZ_IPC_DEADLINE when the node answers nothing
 */
export function createClient(init: ClientInit): NzClient {
  return createClientOf<typeof contract>(routes, init)
}

/** A client of another contract than the node's own, served the same way. */
export function createClientOf<C extends Contract>(routesOf: Routes<C>, init: ClientInit): Client<C> {
  const target: Target = { ...init, agent: new Agent({ keepAlive: true }) }
  const methods = Object.entries<Route>(routesOf).map(([id, route]) => [id, methodOf(route, target)])
  return Object.fromEntries(methods) as Client<C>
}

function methodOf(route: Route, target: Target) {
  switch (route.kind) {
    case 'call':
      return async (params: object, options?: CallOptions) => await call(route, target, params, options)
    case 'stream':
      return (params: object, options?: CallOptions) => readEvents(target, route, params, options)
    case 'duplex':
      return async (params: object, options?: CallOptions) => await openDuplex(target, route, params, options)
  }
}

/** The node has its own deadline and answers when it is over; ours is for a node that answers nothing. */
async function call(route: Route, target: Target, params: object, { signal }: CallOptions = {}): Promise<unknown> {
  using limit = deadline(systemClock, CALLER_DEADLINE_MS, {
    reason: () => ipcErrors.NZ_IPC_DEADLINE({ data: { path: route.path } }),
    ...(signal === undefined ? {} : { signal }),
  })
  return await readAnswer(await sendRequest(target, route, params, { signal: limit.signal }))
}
