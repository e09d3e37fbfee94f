/** Stock js-libp2p over TCP, Noise and yamux, used as its documentation does: one `send` a message. */
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { Stream } from '@libp2p/interface'
import type { Libp2p } from 'libp2p'
import type { Pipe, Transport } from '../pipe.ts'

const PROTOCOL = '/nzcore-bench/1'

async function createNode(listen: readonly string[]): Promise<Libp2p> {
  return await createLibp2p({
    addresses: { listen: [...listen] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    // Five connections a second from one address is the default, and would be what the bench measures.
    connectionManager: { inboundConnectionThreshold: 1_000 },
  })
}

function pipeOf(stream: Stream): Pipe {
  return {
    write(bytes) {
      if (stream.send(bytes)) return undefined
      const { promise, resolve } = Promise.withResolvers<void>()
      // `stream.onDrain()` answers at once after its first drain; the event tells the truth.
      stream.addEventListener('drain', () => resolve(), { once: true })
      return promise
    },
    flush() {},
    onBytes(listener) {
      stream.addEventListener('message', ({ data }) => {
        if (data instanceof Uint8Array) listener(data)
        else for (const part of data) listener(part)
      })
    },
    async close() {
      stream.abort(new Error('the bench has ended'))
    },
  }
}

export const libp2p: Transport = {
  async serve(onPipe) {
    const node = await createNode(['/ip4/127.0.0.1/tcp/0'])
    await node.handle(PROTOCOL, (stream) => onPipe(pipeOf(stream)))
    return { address: String(node.getMultiaddrs()[0]), close: async () => await node.stop() }
  },
  async connect(address) {
    const node = await createNode([])
    const peer = multiaddr(address)
    await node.dial(peer)
    return {
      open: async () => pipeOf(await node.dialProtocol(peer, PROTOCOL)),
      close: async () => await node.stop(),
    }
  },
}
