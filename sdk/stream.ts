/** A stream of bytes to a program on another node, as web streams and as an async iterable. */
import { ipcErrors } from '../protocols/ipc/errors.ts'
import type { streamsContract } from '../protocols/ipc/contract/streams.ts'
import type { Duplex, ResultOf } from '../protocols/ipc/endpoint.ts'

type Opened = ResultOf<(typeof streamsContract)['streamsOpen']>

export interface StreamPeer {
  /** libp2p peer id, base58btc. */
  readonly peerId: string
  /** `nz1…` */
  readonly id: string
  /** Name in the contacts of this node. */
  readonly name: string
}

/**
 * Bytes both ways, each with back-pressure; boundaries of writes are not kept. Use either the web streams, or
 * `write`/`end` and the iteration: both share the same bytes.
 */
export class NodeStream implements AsyncDisposable {
  readonly peer: StreamPeer
  readonly protocol: string
  /** What the other program sent; closes when it ended its side. */
  readonly readable: ReadableStream<Uint8Array>
  /** Closing it ends this side; reading goes on. */
  readonly writable: WritableStream<Uint8Array>
  readonly #duplex: Duplex<unknown, Opened>

  private constructor(duplex: Duplex<unknown, Opened>, { peerId, id, name, protocol }: Opened) {
    this.#duplex = duplex
    this.peer = { peerId, id, name }
    this.protocol = protocol
    this.readable = new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const bytes = await this.#read()
          if (bytes === null) controller.close()
          else controller.enqueue(bytes)
        },
        cancel: (reason) => duplex.fail(reason),
      },
      { highWaterMark: 0 },
    )
    this.writable = new WritableStream<Uint8Array>({
      write: async (bytes) => await duplex.write(bytes),
      close: async () => await duplex.end(),
      abort: (reason) => duplex.fail(reason),
    })
  }

  /** Waits for the other side. @throws what the node answered instead */
  static async over(duplex: Duplex<unknown, Opened>): Promise<NodeStream> {
    const first = await duplex.read()
    if (first !== null && 'message' in first) return new NodeStream(duplex, first.message)
    const error = ipcErrors.NZ_IPC_ANSWER_INVALID()
    duplex.fail(error)
    throw error
  }

  /** Aborts when the stream ends in any way. */
  get signal(): AbortSignal {
    return this.#duplex.signal
  }

  /** Resolves when there is room for more. The bytes may not be changed afterwards. @throws NZ_NETWORK_STREAM_RESET */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#duplex.write(bytes)
  }

  /** Says that nothing follows; reading goes on. */
  async end(): Promise<void> {
    await this.#duplex.end()
  }

  /** Ends both sides at once; the other program sees a reset. */
  abort(reason: unknown = new DOMException('the stream was aborted', 'AbortError')): void {
    this.#duplex.fail(reason)
  }

  /** Ends in order when both sides are through, else cuts the stream. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.signal.aborted) this.abort()
  }

  /** Leaving the loop early cuts the stream. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    let isOver = false
    try {
      for (let bytes = await this.#read(); bytes !== null; bytes = await this.#read()) yield bytes
      isOver = true
    } finally {
      if (!isOver) this.abort()
    }
  }

  async #read(): Promise<Uint8Array | null> {
    const item = await this.#duplex.read()
    if (item === null) return null
    if ('bytes' in item) return item.bytes
    throw ipcErrors.NZ_IPC_ANSWER_INVALID({ why: 'a message came where bytes belong' })
  }
}
