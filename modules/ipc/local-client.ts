/** The local API without a socket: the client of the embedded node. */
import type { contract } from '../../protocols/ipc/contract.ts'
import type { CallOptions, Client, Contract, Duplex } from '../../protocols/ipc/endpoint.ts'
import { duplexPair } from '../../protocols/ipc/framed-duplex.ts'
import type { Dispatcher } from './dispatch.ts'

/** Everything ends when `signal` aborts. */
export function createLocalClient(
  endpoints: Contract,
  dispatcher: Dispatcher,
  { signal: stopped }: { readonly signal: AbortSignal },
): Client<typeof contract> {
  const signalOf = ({ signal }: CallOptions = {}): AbortSignal =>
    signal === undefined ? stopped : AbortSignal.any([stopped, signal])

  async function* follow(id: string, params: object, options?: CallOptions): AsyncGenerator<unknown> {
    const signal = signalOf(options)
    yield* await dispatcher.stream(id, params, { signal })
    options?.signal?.throwIfAborted()
  }

  async function openDuplex(id: string, params: object, options?: CallOptions): Promise<Duplex> {
    const signal = signalOf(options)
    const run = await dispatcher.duplex(id, params)
    const [ours, theirs] = duplexPair()
    const onAbort = (): void => ours.fail(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    ours.signal.addEventListener('abort', () => signal.removeEventListener('abort', onAbort), { once: true })
    if (signal.aborted) onAbort()
    void run(theirs, { signal }).then(() => theirs.release())
    return ours
  }

  const methods = Object.entries(endpoints).map(([id, { kind }]) => [
    id,
    kind === 'stream'
      ? (params: object, options?: CallOptions) => follow(id, params, options)
      : kind === 'duplex'
        ? async (params: object, options?: CallOptions) => await openDuplex(id, params, options)
        : async (params: object, options?: CallOptions) =>
            await dispatcher.call(id, params, { signal: signalOf(options) }),
  ])
  return Object.fromEntries(methods) as Client<typeof contract>
}
