/** What two peers of the ladder do: one pours bytes over a stream or a socket, the other counts what arrives. */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import type { NetworkService, PeerStream } from '../../modules/network/service.ts'

const SINK = '/nz/lab-sink/1'
export const RAW_PORT = 4_100
const OPENING = (): AbortSignal => AbortSignal.timeout(80_000)
const PIECE = new Uint8Array(16_384).fill(7)

export class Pour {
  readonly #network: NetworkService
  readonly #arrived = { nzcore: 0, tcp: 0 }
  #socket: Socket | null = null

  /** Takes what others pour over streams. */
  constructor(network: NetworkService) {
    this.#network = network
    network.handleStreams(
      SINK,
      async (stream) => await stream.consume((bytes) => void (this.#arrived.nzcore += bytes.length)),
      { signal: new AbortController().signal },
    )
  }

  /** Takes what others pour at RAW_PORT of all addresses. */
  async listenRaw(): Promise<void> {
    const server = createServer((socket) => {
      socket.on('error', () => undefined).on('data', (bytes) => void (this.#arrived.tcp += bytes.length))
    })
    server.listen(RAW_PORT, '0.0.0.0').unref()
    await once(server, 'listening')
  }

  arrived(way: 'nzcore' | 'tcp'): number {
    return this.#arrived[way]
  }

  async connectRaw(host: string): Promise<void> {
    this.#socket?.destroy()
    const socket = connect({ host, port: RAW_PORT, noDelay: true })
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    this.#socket = socket.on('error', () => undefined)
  }

  /** As much as the way takes until the time is over; returns then, whatever is still on its way. */
  async pour(peerId: string, way: 'nzcore' | 'tcp', durationMs: number): Promise<void> {
    // The time begins when both are equal: on a connection that stands, a stream that is open.
    const stream = way === 'tcp' ? null : await this.#network.openStream(peerId, SINK, { signal: OPENING() })
    const over = AbortSignal.timeout(durationMs)
    const ended = new Promise<void>((resolve) => over.addEventListener('abort', () => resolve(), { once: true }))
    await Promise.race([ended, stream === null ? this.#pourRaw(over) : pourStream(stream, over)])
    await ended
    stream?.reset()
  }

  async #pourRaw(over: AbortSignal): Promise<void> {
    const socket = this.#socket
    if (socket === null) throw new Error('there is no socket')
    while (!over.aborted) {
      if (socket.destroyed) throw new Error('the kernel has given the connection up')
      if (!socket.write(PIECE)) await once(socket, 'drain', { signal: over }).catch(() => undefined)
    }
  }
}

async function pourStream(stream: PeerStream, over: AbortSignal): Promise<void> {
  try {
    while (!over.aborted) await stream.write(PIECE, { signal: over })
  } catch (error) {
    if (!over.aborted) throw error
  }
}
