/** Validates params against the contract and runs the handler: the one road to every handler, over HTTP or in process. */
import { deadline, NzError } from '../../kernel/index.ts'
import { ipcErrors } from '../../protocols/ipc/errors.ts'
import { CALL_DEADLINE_MS } from '../../protocols/ipc/limits.ts'
import { publicError } from '../../protocols/ipc/problem.ts'
import type { Clock, Logger } from '../../kernel/index.ts'
import type { Contract, Duplex, Endpoint, HandlerOptions } from '../../protocols/ipc/endpoint.ts'

type CallHandler = (params: unknown, options: HandlerOptions) => Promise<unknown>
type StreamHandler = (params: unknown, options: HandlerOptions) => AsyncIterable<unknown>
type DuplexHandler = (params: unknown, duplex: Duplex, options: HandlerOptions) => Promise<void>

/** Handlers of a contract, their types forgotten; `Handlers<typeof contract>` is assignable. */
// oxlint-disable-next-line typescript/no-explicit-any -- a handler is contravariant in its params
export type AnyHandlers = Readonly<Record<string, (...args: any[]) => unknown>>

export interface DispatcherInit {
  readonly contract: Contract
  readonly handlers: AnyHandlers
  readonly clock: Clock
  readonly log: Logger
}

/** Every method throws `NzError`s only; what a handler threw beside the catalogue is logged and becomes NZ_INTERNAL. */
export class Dispatcher {
  readonly #init: DispatcherInit

  constructor(init: DispatcherInit) {
    this.#init = init
  }

  /** @throws NZ_IPC_PARAMS_INVALID, NZ_IPC_DEADLINE, and what the endpoint declares */
  async call(id: string, params: unknown, { signal, ...rest }: HandlerOptions): Promise<unknown> {
    const endpoint = this.#endpoint(id, 'call')
    const valid = await validParams(endpoint, params)
    using limit = deadline(this.#init.clock, endpoint.deadlineMs ?? CALL_DEADLINE_MS, {
      signal,
      reason: () => ipcErrors.NZ_IPC_DEADLINE({ data: { endpoint: id } }),
    })
    try {
      return await before(
        limit.signal,
        (this.#init.handlers[id] as CallHandler)(valid, { ...rest, signal: limit.signal }),
      )
    } catch (error) {
      throw this.#known(id, error, limit.signal)
    }
  }

  /** Resolves once the params are valid. Leaving the iteration, or aborting the signal, ends the source. */
  async stream(id: string, params: unknown, options: HandlerOptions): Promise<AsyncIterable<unknown>> {
    const valid = await validParams(this.#endpoint(id, 'stream'), params)
    return this.#follow(id, valid, options)
  }

  /** Checks the params of a duplex before the upgrade is answered. The result runs the handler and never rejects. */
  async duplex(id: string, params: unknown): Promise<(duplex: Duplex, options: HandlerOptions) => Promise<void>> {
    const valid = await validParams(this.#endpoint(id, 'duplex'), params)
    return async (duplex, options) => {
      const signal = AbortSignal.any([options.signal, duplex.signal])
      try {
        await (this.#init.handlers[id] as DuplexHandler)(valid, duplex, { ...options, signal })
        if (!duplex.signal.aborted) await duplex.end()
      } catch (error) {
        if (!duplex.signal.aborted) duplex.fail(this.#known(id, error, signal))
      }
    }
  }

  async *#follow(id: string, params: unknown, options: HandlerOptions): AsyncGenerator<unknown> {
    const { signal } = options
    try {
      for await (const item of (this.#init.handlers[id] as StreamHandler)(params, options)) {
        if (signal.aborted) return
        yield item
      }
    } catch (error) {
      throw this.#known(id, error, signal)
    }
  }

  #endpoint(id: string, kind: Endpoint['kind']): Endpoint {
    const endpoint = this.#init.contract[id]
    if (endpoint?.kind !== kind) throw new TypeError(`no ${kind} endpoint: ${id}`)
    return endpoint
  }

  #known(id: string, error: unknown, signal: AbortSignal): NzError {
    if (error instanceof NzError) return error
    if (signal.aborted && signal.reason instanceof NzError) return signal.reason
    if (!signal.aborted) this.#init.log.error('ipc.handlerFailed', { endpoint: id, error })
    return publicError(error)
  }
}

/** @throws NZ_IPC_PARAMS_INVALID with the path of each problem and what is wrong there; never the value */
async function validParams(endpoint: Endpoint, params: unknown): Promise<unknown> {
  const trouble = troubleIn(params, [])
  if (trouble !== null) throw paramsInvalid([trouble])
  const result = await endpoint.params['~standard'].validate(params)
  if (result.issues === undefined) return result.value
  throw paramsInvalid(
    result.issues.slice(0, MAX_ISSUES).map(({ path = [], message }) => ({
      path: path.map((segment) => String(typeof segment === 'object' ? segment.key : segment)).join('.'),
      message,
    })),
  )
}

interface Trouble {
  readonly path: string
  readonly message: string
}

function paramsInvalid(issues: readonly Trouble[]): NzError {
  const why = issues.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ')
  return ipcErrors.NZ_IPC_PARAMS_INVALID({ why, data: { issues } })
}

/** Problems named in one answer. */
const MAX_ISSUES = 20
/** Objects and lists inside one another. */
const MAX_PARAM_DEPTH = 16

/** What no param has a use for: control characters, and nesting without end. */
function troubleIn(value: unknown, path: readonly string[]): Trouble | null {
  const at = path.join('.')
  if (typeof value === 'string') return hasControl(value) ? { path: at, message: 'holds a control character' } : null
  if (typeof value !== 'object' || value === null) return null
  if (path.length > MAX_PARAM_DEPTH) return { path: at, message: 'is nested too deep' }
  for (const [key, inner] of Object.entries(value)) {
    if (hasControl(key)) return { path: at, message: 'a name holds a control character' }
    const found = troubleIn(inner, [...path, key])
    if (found !== null) return found
  }
  return null
}

function hasControl(text: string): boolean {
  return /\p{Cc}/u.test(text)
}

/** Waits for `work`, at the latest until `signal` aborts, even when the handler forgot its signal. */
async function before<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason as Error)
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
