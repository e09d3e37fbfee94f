import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import type { NzClient } from '../../sdk/client.ts'
import { createNzNode } from '../../sdk/nz-node.ts'
import { NodeStream } from '../../sdk/stream.ts'
import { fakeIdentity } from '../fake/identity.ts'
import { createFakeNetwork } from '../fake/network.ts'
import { startApiNode } from '../fake/node.ts'
import type { ApiNode } from '../fake/node.ts'

const ECHO = '/app/echo/1'

/** Files of a node that knows the node of `seed` as `name`. */
function knowing(seed: number, name: string): Map<string, Uint8Array> {
  const { peerId } = fakeIdentity(seed).self
  const contact = { peerId, name, addresses: [], verifiedBy: 'words', addedAtMs: 0 }
  const book = { version: 1, contacts: [contact] }
  return new Map([['contacts.json', new TextEncoder().encode(JSON.stringify(book))]])
}

async function pair(): Promise<{ desk: ApiNode; laptop: ApiNode } & AsyncDisposable> {
  const mesh = createFakeNetwork()
  const laptop = await startApiNode({ mesh, seed: 2, files: knowing(1, 'desk') })
  const desk = await startApiNode({ mesh, seed: 1, files: knowing(2, 'laptop') })
  const { peerId } = laptop.network
  await desk.network.connect(peerId, { addresses: laptop.network.addresses(), signal: AbortSignal.timeout(5_000) })
  return {
    desk,
    laptop,
    async [Symbol.asyncDispose]() {
      await desk[Symbol.asyncDispose]()
      await laptop[Symbol.asyncDispose]()
    },
  }
}

/** The node of a program, and when it waits for its first stream. */
function acceptingNode(api: NzClient, close = async (): Promise<void> => await Promise.resolve()) {
  const accepts = Promise.withResolvers<void>()
  const streamsAccept: NzClient['streamsAccept'] = async (params, options) => {
    const duplex = await api.streamsAccept(params, options)
    accepts.resolve()
    return duplex
  }
  return { node: createNzNode({ ...api, streamsAccept }, close), accepts: accepts.promise }
}

describe('application streams', () => {
  for (const over of ['client', 'local'] as const) {
    it(`carry bytes between two programs, by the ${over} interface`, async () => {
      await using nodes = await pair()
      const accepted = nodes.laptop[over].streamsAccept({ protocol: ECHO })
      const served = (async () => {
        const stream = await NodeStream.over(await accepted)
        assert.equal(stream.peer.name, 'desk')
        for await (const bytes of stream) await stream.write(bytes)
        await stream.end()
      })()
      const stream = await NodeStream.over(await nodes.desk[over].streamsOpen({ peer: 'laptop', protocol: ECHO }))
      assert.equal(stream.peer.name, 'laptop')
      assert.equal(stream.protocol, ECHO)
      const big = new Uint8Array(1_500_000).map((_, i) => i % 253)
      const sending = stream.write(big).then(async () => await stream.end())
      const back: Uint8Array[] = []
      for await (const bytes of stream) back.push(bytes)
      await Promise.all([sending, served])
      assert.equal(Buffer.compare(Buffer.concat(back), big), 0)
    })
  }

  it('are web streams too', async () => {
    await using nodes = await pair()
    const served = (async () => {
      const stream = await NodeStream.over(await nodes.laptop.client.streamsAccept({ protocol: ECHO }))
      await stream.readable.pipeTo(stream.writable)
    })()
    const stream = await NodeStream.over(await nodes.desk.client.streamsOpen({ peer: 'laptop', protocol: ECHO }))
    const writer = stream.writable.getWriter()
    const sending = writer.write(new TextEncoder().encode('hello')).then(async () => await writer.close())
    assert.equal(await text(stream.readable), 'hello')
    await Promise.all([sending, served])
  })

  it('wait for a program that comes a little later', async () => {
    await using nodes = await pair()
    const first = NodeStream.over(await nodes.laptop.client.streamsAccept({ protocol: ECHO }))
    const one = await NodeStream.over(await nodes.desk.client.streamsOpen({ peer: 'laptop', protocol: ECHO }))
    const two = nodes.desk.client.streamsOpen({ peer: 'laptop', protocol: ECHO }).then(async (d) => {
      await d.write(Uint8Array.of(2))
      return d
    })
    await two
    const second = await NodeStream.over(await nodes.laptop.client.streamsAccept({ protocol: ECHO }))
    for await (const bytes of second) {
      assert.deepEqual([...bytes], [2])
      break
    }
    one.abort()
    ;(await first).abort()
  })

  it('break on one side when the other breaks', async () => {
    await using nodes = await pair()
    const accepted = nodes.laptop.client.streamsAccept({ protocol: ECHO }).then(async (d) => await NodeStream.over(d))
    const stream = await NodeStream.over(await nodes.desk.client.streamsOpen({ peer: 'laptop', protocol: ECHO }))
    const theirs = await accepted
    stream.abort()
    await assert.rejects(async () => {
      for await (const _ of theirs);
    })
  })

  for (const over of ['client', 'local'] as const) {
    it(`are accepted until the owner closes its node, by the ${over} interface`, async () => {
      await using nodes = await pair()
      const { node, accepts } = acceptingNode(nodes.laptop[over], async () => {
        if (over === 'local') await nodes.laptop.kernel.stop()
      })
      const first = Promise.withResolvers<NodeStream>()
      const serving = (async () => {
        for await (const stream of node.acceptStreams(ECHO)) first.resolve(stream)
      })()
      await accepts
      await NodeStream.over(await nodes.desk.client.streamsOpen({ peer: 'laptop', protocol: ECHO }))
      await first.promise
      await node.close()
      await serving
    })
  }

  it('that were taken go on when no more are accepted', async () => {
    await using nodes = await pair()
    const { node, accepts } = acceptingNode(nodes.laptop.client)
    const stop = new AbortController()
    const serving = (async () => {
      for await (const stream of node.acceptStreams(ECHO, { signal: stop.signal })) {
        await stream.readable.pipeTo(stream.writable)
      }
    })()
    await accepts
    const stream = await NodeStream.over(await nodes.desk.client.streamsOpen({ peer: 'laptop', protocol: ECHO }))
    await stream.write(Uint8Array.of(1))
    const reader = stream.readable.getReader()
    await reader.read()
    stop.abort()
    await stream.write(Uint8Array.of(2))
    assert.deepEqual([...((await reader.read()).value ?? [])], [2])
    await stream.end()
    assert.equal((await reader.read()).done, true)
    await serving
  })

  it('are for contacts only', async () => {
    const mesh = createFakeNetwork()
    await using laptop = await startApiNode({ mesh, seed: 2 })
    await using stranger = await startApiNode({ mesh, seed: 1, files: knowing(2, 'laptop') })
    const controller = new AbortController()
    const waiting = laptop.client.streamsAccept({ protocol: ECHO }, { signal: controller.signal })
    const { peerId } = laptop.network
    const signal = AbortSignal.timeout(120_000)
    await stranger.network.connect(peerId, { addresses: laptop.network.addresses(), signal })
    await assert.rejects(
      async () => {
        const stream = await NodeStream.over(await stranger.client.streamsOpen({ peer: 'laptop', protocol: ECHO }))
        await stream.write(Uint8Array.of(1))
        for await (const _ of stream);
      },
      { code: 'NZ_NETWORK_STREAM_RESET' },
    )
    controller.abort()
    await (await waiting).read().catch(() => {})
  })

  it('refuse names that are no application protocol, and peers nobody knows', async () => {
    await using nodes = await pair()
    for (const protocol of ['/nz/transfer/1', 'echo', '/app/../x/1', '/app/echo/1/2', '/app/ECHO/1']) {
      await assert.rejects(nodes.desk.client.streamsOpen({ peer: 'laptop', protocol }), {
        code: 'NZ_IPC_PARAMS_INVALID',
      })
    }
    const duplex = await nodes.desk.client.streamsOpen({ peer: 'nobody', protocol: ECHO })
    await assert.rejects(duplex.read(), { code: 'NZ_CONTACTS_NOT_FOUND' })
  })
})
