/** Channels over real connections: what passes the stream is sealed, and large messages come whole both ways. */
import assert from 'node:assert/strict'
import { after, it } from 'node:test'
import { createEventBus, systemClock, systemRandom } from '../../kernel/index.ts'
import { CHANNEL_PROTOCOL, Channels } from '../../modules/channels/channels.ts'
import { ChannelKeys } from '../../modules/channels/keys.ts'
import { fakeIdentity } from '../fake/identity.ts'
import { startNetworkNode } from '../fake/network-node.ts'
import type { NetworkService, PeerStream } from '../../modules/network/service.ts'
import type { NetworkNode } from '../fake/network-node.ts'

const PURPOSE = 'nzcore/test/1'
const MESSAGE_BYTES = 8 * 1024 * 1024
const signal = AbortSignal.timeout(60_000)
const nodes: NetworkNode[] = []
after(async () => await Promise.all(nodes.map(async (node) => await node.stop())))

/** A node and everything that it wrote to streams. */
async function start(seed: number): Promise<{ network: NetworkService; channels: Channels; written: Uint8Array[] }> {
  const identity = { ...fakeIdentity(seed), deriveKey: () => new Uint8Array(32).fill(seed) }
  const privateKey = Buffer.concat([new Uint8Array(32).fill(seed), identity.self.nodePublicKey])
  const node = await startNetworkNode({ privateKey: new Uint8Array(privateKey) })
  nodes.push(node)
  const written: Uint8Array[] = []
  const { network } = node
  const overheard = (stream: PeerStream): PeerStream =>
    Object.create(stream, {
      peerId: { get: () => stream.peerId },
      signal: { get: () => stream.signal },
      read: { value: stream.read.bind(stream) },
      closeWrite: { value: stream.closeWrite.bind(stream) },
      close: { value: stream.close.bind(stream) },
      reset: { value: stream.reset.bind(stream) },
      write: {
        value: async (...[bytes, options]: Parameters<PeerStream['write']>) => {
          written.push(Uint8Array.from(bytes))
          await stream.write(bytes, options)
        },
      },
    }) as PeerStream
  const channels = new Channels({
    keys: new ChannelKeys(identity),
    network: { openStream: async (...args) => overheard(await network.openStream(...args)) },
    trust: { may: () => true },
    events: createEventBus({ onListenerError: () => undefined }),
    clock: systemClock,
    random: systemRandom,
    log: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
  })
  network.handleStreams(CHANNEL_PROTOCOL, async (stream, options) => await channels.serve(overheard(stream), options), {
    signal,
  })
  return { network, channels, written }
}

it('two nodes exchange large messages of which the stream shows nothing', async () => {
  const [desk, laptop] = [await start(1), await start(2)]
  await laptop.network.connect(desk.network.peerId, { addresses: desk.network.addresses(), signal })
  desk.channels.accept(
    PURPOSE,
    async (channel) => {
      for (
        let message = await channel.receive({ signal });
        message !== null;
        message = await channel.receive({ signal })
      ) {
        await channel.send(message, { signal, isCompressed: true })
      }
    },
    { signal, act: 'send' },
  )
  const secret = 'what nobody on the way may read. '
  const message = Buffer.alloc(MESSAGE_BYTES, secret)
  for (const round of [1, 2]) {
    const channel = await laptop.channels.open(desk.network.peerId, { purpose: PURPOSE, signal })
    const [, came] = await Promise.all([channel.send(message, { signal }), channel.receive({ signal })])
    assert.ok(came !== null && Buffer.compare(came, message) === 0)
    assert.equal(laptop.channels.list()[0]?.pattern, round === 1 ? 'XX' : 'IKpsk1')
    await channel.close()
  }
  const there = Buffer.concat(laptop.written)
  assert.ok(there.byteLength > 2 * MESSAGE_BYTES && !there.includes(secret.slice(0, 12)))
  assert.ok(!there.includes(desk.network.peerId) && !there.includes(Buffer.from(fakeIdentity(2).self.nodePublicKey)))
  const back = Buffer.concat(desk.written)
  assert.ok(back.byteLength < MESSAGE_BYTES / 10, 'the answer was compressed')
})
