/** Our stacks with go-libp2p, both directions. Skipped, with the reason, where the language is not there. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, it } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { buildPeer, go, startPeer } from './foreign-peer.ts'
import { exchange, PROTOCOLS, readAll, stacks, startStack, writeAll } from './stacks.ts'
import type { Connection } from '@libp2p/interface'
import type { ForeignPeer, Task } from './foreign-peer.ts'
import type { InteropNode } from './stacks.ts'

const MEBIBYTE = 1024 * 1024
const BULK_BYTES = (process.env['NZ_FULL'] === '1' ? 100 : 4) * MEBIBYTE
const OURS = Object.keys(stacks).filter((name) => !name.startsWith('stock'))

for (const language of [go])
  for (const name of OURS)
    describe(`${name} with ${language.name}-libp2p`, () => {
      let node: InteropNode | null = null
      let peer: ForeignPeer | null = null
      let connection: Connection | null = null
      let why = ''
      const signal = AbortSignal.timeout(400_000)
      before(async () => {
        const [security, built] = [await stacks[name]?.(), buildPeer(language)]
        if (typeof security !== 'object') return void (why = security ?? '')
        if (!('binary' in built)) return void (why = built.why)
        peer = await startPeer(built.binary)
        node = await startStack(security)
      })
      after(async () => {
        await node?.stop()
        peer?.[Symbol.dispose]()
      })

      const test = (title: string, run: (node: InteropNode, peer: ForeignPeer) => Promise<void>): void => {
        it(title, async (t) => {
          if (node === null || peer === null) return t.skip(why)
          await run(node, peer)
        })
      }
      const dialled = async (from: InteropNode, to: ForeignPeer): Promise<Connection> => {
        if (connection?.status !== 'open') connection = await from.dial(multiaddr(to.address), { signal })
        return connection
      }

      test('dials, identifies and pings', async (from, to) => {
        const { remotePeer } = await dialled(from, to)
        assert.ok((await from.services.ping.ping(remotePeer, { signal })) >= 0)
        const agent = async (): Promise<unknown> => (await from.peerStore.get(remotePeer)).metadata.get('AgentVersion')
        while ((await agent()) === undefined) await new Promise((resolve) => setTimeout(resolve, 5))
        assert.equal(Buffer.from((await agent()) as Uint8Array).toString(), `nz-test-${language.name}`)
      })

      test('moves bytes both ways at once', async (from, to) => {
        await exchange(await dialled(from, to), BULK_BYTES, signal)
      })

      test('runs many streams side by side', async (from, to) => {
        const open = await dialled(from, to)
        await Promise.all(Array.from({ length: 50 }, async (_, i) => await exchange(open, 40_000 + i, signal)))
      })

      test('half closes, and is told of a reset', async (from, to) => {
        const open = await dialled(from, to)
        const stream = await open.newStream(PROTOCOLS.sink, { signal })
        const heard = readAll(stream)
        await writeAll(stream, new Uint8Array(2 * MEBIBYTE))
        await stream.close({ signal })
        assert.equal((await heard).toString(), String(2 * MEBIBYTE))
        const doomed = await open.newStream(PROTOCOLS.reset, { signal })
        const closed = once(doomed as unknown as EventTarget, 'close')
        doomed.send(Uint8Array.of(1))
        await closed
        assert.equal(doomed.status, 'reset')
      })

      test('says goodbye', async (from, to) => {
        await (await dialled(from, to)).close({ signal })
      })

      const tasks: ReadonlyArray<readonly [title: string, task: Omit<Task, 'address'>]> = [
        ['is identified', { do: 'identify' }],
        ['is pinged', { do: 'ping' }],
        ['gives back what it is sent, both ways at once', { do: 'echo', bytes: BULK_BYTES }],
        ['serves many streams side by side', { do: 'streams', streams: 50, bytes: 40_000 }],
        ['resets a stream', { do: 'reset' }],
        ['is said goodbye to', { do: 'close' }],
      ]
      for (const [title, task] of tasks)
        test(`is dialled and ${title}`, async (to, from) => {
          const address = String(to.getMultiaddrs()[0])
          const { ok, why: reason } = await from.ask({ ...task, address }, { signal: AbortSignal.timeout(60_000) })
          assert.ok(ok, reason)
        })
    })
