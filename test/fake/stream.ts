/** Two ends of an in-memory `PeerStream`: back-pressure by a window, half-close, reset. */
import { deadline, orAbort } from '../../kernel/index.ts'
import { networkErrors } from '../../modules/network/service.ts'
import type { Clock } from '../../kernel/index.ts'
import type { PeerStream } from '../../modules/network/service.ts'

/** How long `close` waits for the other end before it resets. */
const CLOSE_TIMEOUT_MS = 5_000

export interface FakeStreamInit {
  readonly protocol: string
  /** Who holds the first and the second end. */
  readonly peerIds: readonly [string, string]
  readonly clock: Clock
  /** Delay of each chunk. */
  readonly latencyMs: number
  /** Bytes on their way or unread before `write` waits. */
  readonly windowBytes: number
}

/** `[end held by peerIds[0], end held by peerIds[1]]`; each end names the other peer. */
export function fakeStreamPair(init: FakeStreamInit): [PeerStream, PeerStream] {
  const forth = new Pipe(init)
  const back = new Pipe(init)
  const ended = new AbortController()
  const reset = (): void => {
    forth.reset()
    back.reset()
    ended.abort()
  }
  const onEnd = (): void => {
    if (forth.isEnded && back.isEnded) ended.abort()
  }
  forth.onEnd = onEnd
  back.onEnd = onEnd
  const end = (peerId: string, output: Pipe, input: Pipe): PeerStream => ({
    peerId,
    protocol: init.protocol,
    signal: ended.signal,
    write: async (bytes, options = {}) => await output.write(bytes, options.signal),
    async writeMany(parts, options = {}) {
      for (const bytes of parts) await output.write(bytes, options.signal)
    },
    read: async (options = {}) => await input.read(options.signal),
    async consume(use, options = {}) {
      for (let bytes = await input.read(options.signal); bytes !== null; bytes = await input.read(options.signal)) {
        const busy = use(bytes)
        // Whoever keeps what was only lent shall notice.
        bytes.fill(0xee)
        await busy
      }
    },
    closeWrite: async () => output.end(),
    async close(options = {}) {
      output.end()
      input.discard()
      using limit = deadline(init.clock, CLOSE_TIMEOUT_MS, options)
      if (!ended.signal.aborted) await anyAbort(ended.signal, limit.signal)
      if (!ended.signal.aborted) reset()
    },
    reset,
  })
  return [end(init.peerIds[1], forth, back), end(init.peerIds[0], back, forth)]
}

/** One direction. */
class Pipe {
  onEnd: () => void = () => undefined
  readonly #init: FakeStreamInit
  readonly #chunks: Uint8Array[] = []
  /** Bytes written and not yet read: on their way or waiting. */
  #pendingBytes = 0
  #state: 'open' | 'ending' | 'reset' = 'open'
  #isDiscarding = false
  #changed = Promise.withResolvers<void>()

  constructor(init: FakeStreamInit) {
    this.#init = init
  }

  /** Whether the writer ended and the reader has taken everything. */
  get isEnded(): boolean {
    return this.#state === 'ending' && this.#pendingBytes === 0
  }

  async write(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (this.#state !== 'open') throw this.#closedError()
    if (bytes.byteLength === 0) return
    this.#pendingBytes += bytes.byteLength
    const copy = bytes.slice()
    if (this.#init.latencyMs === 0) this.#deliver(copy)
    else this.#init.clock.setTimer(this.#init.latencyMs, () => this.#deliver(copy))
    await this.#until(() => this.#state !== 'open' || this.#pendingBytes < this.#init.windowBytes, signal)
    if (this.#isReset()) throw this.#closedError()
  }

  async read(signal?: AbortSignal): Promise<Uint8Array | null> {
    signal?.throwIfAborted()
    await this.#until(() => this.#chunks.length > 0 || this.#state === 'reset' || this.isEnded, signal)
    if (this.#state === 'reset') throw this.#closedError()
    const chunk = this.#chunks.shift()
    if (chunk === undefined) return null
    this.#take(chunk.byteLength)
    return chunk
  }

  end(): void {
    if (this.#state !== 'open') return
    this.#state = 'ending'
    this.#change()
  }

  discard(): void {
    this.#isDiscarding = true
    for (const chunk of this.#chunks.splice(0)) this.#take(chunk.byteLength)
  }

  reset(): void {
    if (this.isEnded) return
    this.#state = 'reset'
    this.#chunks.length = 0
    this.#change()
  }

  #isReset(): boolean {
    return this.#state === 'reset'
  }

  #deliver(chunk: Uint8Array): void {
    if (this.#state === 'reset') return
    if (this.#isDiscarding) return this.#take(chunk.byteLength)
    this.#chunks.push(chunk)
    this.#change()
  }

  #take(byteLength: number): void {
    this.#pendingBytes -= byteLength
    this.#change()
  }

  #change(): void {
    const { resolve } = this.#changed
    this.#changed = Promise.withResolvers()
    resolve()
    this.onEnd()
  }

  async #until(isTrue: () => boolean, signal?: AbortSignal): Promise<void> {
    while (!isTrue()) {
      if (signal === undefined) await this.#changed.promise
      else await orAbort(this.#changed.promise, signal)
    }
  }

  #closedError(): Error {
    return networkErrors.NZ_NETWORK_STREAM_RESET({
      why: this.#state === 'ending' ? 'this side was closed for writing' : 'the stream was reset',
    })
  }
}

async function anyAbort(...signals: readonly AbortSignal[]): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const any = AbortSignal.any([...signals])
  if (any.aborted) return
  any.addEventListener('abort', () => resolve(), { once: true })
  await promise
}
