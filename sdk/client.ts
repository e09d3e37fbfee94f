/**
 * A typed client of the local API: its types come from the contract, its requests from the routes rendered from it, so
 * that it loads no schemas. The node checks the params; every call takes an `AbortSignal`.
 */
import { Agent } from 'node:http'
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
 * @throws NZ_IPC_NOT_RUNNING (any call) when nobody listens, NZ_IPC_CONNECTION_LOST when the connection broke
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
      return async (params: object, options?: CallOptions) =>
        await readAnswer(await sendRequest(target, route, params, options))
    case 'stream':
      return (params: object, options?: CallOptions) => readEvents(target, route, params, options)
    case 'duplex':
      return async (params: object, options?: CallOptions) => await openDuplex(target, route, params, options)
  }
}
