/** A typed client of the local API, derived from the contract. Every call takes an `AbortSignal`. */
import { Agent } from 'node:http'
import { contract } from '../protocols/ipc/contract.ts'
import type { CallOptions, Client, Contract, Endpoint } from '../protocols/ipc/endpoint.ts'
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
  return createClientOf(contract, init)
}

/** A client of another contract than the node's own, served the same way. */
export function createClientOf<C extends Contract>(endpoints: C, init: ClientInit): Client<C> {
  const target: Target = { ...init, agent: new Agent({ keepAlive: true }) }
  const methods = Object.entries(endpoints).map(([id, endpoint]) => [id, methodOf(endpoint, target)])
  return Object.fromEntries(methods) as Client<C>
}

function methodOf(endpoint: Endpoint, target: Target) {
  switch (endpoint.kind) {
    case 'call':
      return async (params: object, options?: CallOptions) =>
        await readAnswer(await sendRequest(target, endpoint, params, options))
    case 'stream':
      return (params: object, options?: CallOptions) => readEvents(target, endpoint, params, options)
    case 'duplex':
      return async (params: object, options?: CallOptions) => await openDuplex(target, endpoint, params, options)
  }
}
