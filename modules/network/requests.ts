/** Requests between peers: one framed stream a peer and direction, many calls in flight (spec/NZ-RPC-01.md). */
import { deadline, isNzError, knownErrors, NzError, orAbort } from '../../kernel/index.ts'
import { AnswererCalls, CallerCalls } from '../../protocols/rpc/calls.ts'
import {
  encodeFrame,
  FrameDecoder,
  MAX_PAYLOAD_BYTES,
  MAX_TIMEOUT_MS,
  RPC_PROTOCOL,
} from '../../protocols/rpc/frame.ts'
import { networkErrors } from './service.ts'
import { WaitingLine } from './waiting-line.ts'
import type { Clock, Logger } from '../../kernel/index.ts'
import type { RpcOutcome } from '../../protocols/rpc/calls.ts'
import type { RpcFrame } from '../../protocols/rpc/frame.ts'
import type { NetworkService, PeerStream, RequestHandler } from './service.ts'

/** Payload bytes of calls being answered on one stream; above it the stream is not read on. */
const MAX_ANSWERING_BYTES = 4 * 1024 * 1024

/** Bytes of calls that wait to be sent on one stream; above it callers wait. */
const MAX_SENDING_BYTES = 4 * 1024 * 1024

export interface RequestsServices {
  readonly openStream: NetworkService['openStream']
  readonly clock: Clock
  readonly log: Logger
}

export class Requests {
  readonly #services: RequestsServices
  readonly #handlers = new Map<string, RequestHandler>()
  readonly #callers = new Map<string, Promise<CallerStream>>()

  constructor(services: RequestsServices) {
    this.#services = services
  }

  handle(method: string, handler: RequestHandler, { signal }: { readonly signal: AbortSignal }): void {
    if (this.#handlers.has(method)) throw new Error(`method is handled already: ${method}`)
    if (signal.aborted) return
    this.#handlers.set(method, handler)
    signal.addEventListener('abort', () => this.#handlers.delete(method), { once: true })
  }

  async request(
    peerId: string,
    method: string,
    payload: Uint8Array,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<Uint8Array> {
    if (payload.byteLength > MAX_PAYLOAD_BYTES)
      throw networkErrors.NZ_NETWORK_REQUEST_TOO_LARGE({ data: { method, bytes: payload.byteLength } })
    using limit = deadline(this.#services.clock, MAX_TIMEOUT_MS, {
      signal,
      reason: () => networkErrors.NZ_NETWORK_TIMEOUT({ data: { peerId, method } }),
    })
    const caller = await this.#caller(peerId, limit.signal)
    const outcome = await caller.call(method, payload, limit.signal)
    if (outcome.ok) return outcome.payload
    throw errorOf(outcome, { peerId, method })
  }

  /** Answers the calls of one incoming stream until its caller is done. */
  async serve(stream: PeerStream, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { clock, log } = this.#services
    const find = (method: string): RequestHandler | undefined => this.#handlers.get(method)
    await new AnswererStream(stream, { find, clock, log }).run(signal)
  }

  async #caller(peerId: string, signal: AbortSignal): Promise<CallerStream> {
    const known = this.#callers.get(peerId)
    if (known !== undefined) {
      const caller = await orAbort(
        known.catch(() => null),
        signal,
      )
      if (caller !== null && !caller.isOver) return caller
      if (this.#callers.get(peerId) === known) this.#callers.delete(peerId)
      return await this.#caller(peerId, signal)
    }
    const forget = (): void => {
      if (this.#callers.get(peerId) === opening) this.#callers.delete(peerId)
    }
    const opening = this.#open(peerId, signal, forget)
    this.#callers.set(peerId, opening)
    try {
      return await opening
    } catch (error) {
      forget()
      throw error
    }
  }

  async #open(peerId: string, signal: AbortSignal, onOver: () => void): Promise<CallerStream> {
    return new CallerStream(await this.#services.openStream(peerId, RPC_PROTOCOL, { signal }), { onOver })
  }
}

/** The stream this node opened: sends calls, matches answers. */
class CallerStream {
  readonly #stream: PeerStream
  readonly #calls = new CallerCalls()
  /** Ends each open call when the stream is over. */
  readonly #ends = new Set<(error: Error) => void>()
  readonly #line = new WaitingLine()
  readonly #onOver: () => void
  #sendingBytes = 0
  #over: Error | null = null

  constructor(stream: PeerStream, { onOver }: { readonly onOver: () => void }) {
    this.#stream = stream
    this.#onOver = onOver
    void this.#run()
  }

  get isOver(): boolean {
    return this.#over !== null
  }

  /** Waits while too many calls are open, or too many bytes of calls wait to be sent. */
  async call(method: string, payload: Uint8Array, signal: AbortSignal): Promise<RpcOutcome> {
    while (!this.isOver && !this.#hasRoom()) await this.#line.wait(signal)
    if (this.#over !== null) throw this.#over
    const { promise, resolve, reject } = Promise.withResolvers<RpcOutcome>()
    const call = this.#calls.open(resolve)
    this.#ends.add(reject)
    try {
      // A frame is never left half written, so a call that is given up is sent to its end.
      void this.#send(encodeFrame({ type: 'request', call, timeoutMs: MAX_TIMEOUT_MS, method, payload }))
      return await orAbort(promise, signal)
    } finally {
      this.#ends.delete(reject)
      if (this.#calls.cancel(call) && !this.isOver) void this.#send(encodeFrame({ type: 'cancel', call }))
      this.#line.wakeOne()
    }
  }

  #hasRoom(): boolean {
    return this.#calls.hasRoom && this.#sendingBytes <= MAX_SENDING_BYTES
  }

  async #run(): Promise<void> {
    const decoder = new FrameDecoder()
    let cause: unknown = null
    try {
      for (let bytes = await this.#stream.read(); bytes !== null; bytes = await this.#stream.read())
        for (const frame of decoder.push(bytes)) this.#calls.receive(frame)
    } catch (error) {
      cause = error
    }
    const over = networkErrors.NZ_NETWORK_STREAM_RESET({ cause, data: { peerId: this.#stream.peerId } })
    this.#over = over
    this.#onOver()
    for (const end of this.#ends) end(over)
    this.#line.wakeAll()
    this.#stream.reset()
  }

  async #send(bytes: Uint8Array): Promise<void> {
    this.#sendingBytes += bytes.byteLength
    try {
      await this.#stream.write(bytes)
    } catch {
      // The stream is over; `#run` sees that too and ends every call.
    } finally {
      this.#sendingBytes -= bytes.byteLength
      this.#line.wakeOne()
    }
  }
}

interface AnswererServices {
  readonly find: (method: string) => RequestHandler | undefined
  readonly clock: Clock
  readonly log: Logger
}

/** A stream that the peer opened: answers its calls. */
class AnswererStream {
  readonly #stream: PeerStream
  readonly #services: AnswererServices
  readonly #calls = new AnswererCalls()
  readonly #running = new Map<number, AbortController>()
  #answeringBytes = 0
  #room = Promise.withResolvers<void>()

  constructor(stream: PeerStream, services: AnswererServices) {
    this.#stream = stream
    this.#services = services
  }

  async run(signal: AbortSignal): Promise<void> {
    const decoder = new FrameDecoder()
    const stop = AbortSignal.any([signal, this.#stream.signal])
    try {
      for (
        let bytes = await this.#stream.read({ signal });
        bytes !== null;
        bytes = await this.#stream.read({ signal })
      ) {
        for (const frame of decoder.push(bytes)) this.#receive(frame)
        while (this.#answeringBytes > MAX_ANSWERING_BYTES) await orAbort(this.#room.promise, stop)
      }
    } finally {
      for (const running of this.#running.values()) running.abort(new Error('the caller is gone'))
    }
  }

  #receive(frame: RpcFrame): void {
    const action = this.#calls.receive(frame)
    if (action.do === 'cancel') this.#running.get(action.call)?.abort(new Error('the caller no longer waits'))
    if (action.do === 'answer') void this.#answer(action.request)
  }

  async #answer(request: Extract<RpcFrame, { type: 'request' }>): Promise<void> {
    const { call, method, payload, timeoutMs } = request
    const controller = new AbortController()
    const timer = this.#services.clock.setTimer(timeoutMs, () => controller.abort(), { unref: true })
    this.#running.set(call, controller)
    this.#answeringBytes += payload.byteLength
    try {
      const frame = await this.#frameFor(call, method, payload, controller.signal)
      await this.#stream.write(encodeFrame(frame))
    } catch (error) {
      this.#services.log.debug('network.answerNotSent', { method, error })
    } finally {
      timer.cancel()
      this.#running.delete(call)
      this.#calls.done(call)
      this.#answeringBytes -= payload.byteLength
      this.#room.resolve()
      this.#room = Promise.withResolvers()
    }
  }

  async #frameFor(call: number, method: string, payload: Uint8Array, signal: AbortSignal): Promise<RpcFrame> {
    const handler = this.#services.find(method)
    if (handler === undefined) return { type: 'error', call, code: 'NZ_NETWORK_METHOD_UNKNOWN', why: '' }
    try {
      const answer = await handler(payload, { peerId: this.#stream.peerId, signal })
      if (answer.byteLength <= MAX_PAYLOAD_BYTES) return { type: 'answer', call, payload: answer }
      return { type: 'error', call, code: 'NZ_NETWORK_REQUEST_TOO_LARGE', why: 'the answer is too large' }
    } catch (error) {
      if (isNzError(error)) return { type: 'error', call, code: error.code, why: error.why ?? '' }
      this.#services.log.warn('network.requestFailed', { method, error })
      return { type: 'error', call, code: 'NZ_NETWORK_REQUEST_FAILED', why: '' }
    }
  }
}

/** The peer's error with this node's own words; `why` is the peer's text and is escaped wherever it is printed. */
function errorOf({ code, why }: { code: string; why: string }, data: { peerId: string; method: string }): NzError {
  const spec = knownErrors.get(code)
  if (spec === undefined) return networkErrors.NZ_NETWORK_REQUEST_FAILED({ why: why || code, data: { ...data, code } })
  return new NzError(code, spec, { data, ...(why === '' ? {} : { why }) })
}
