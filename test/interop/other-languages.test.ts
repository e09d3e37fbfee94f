/**
 * Our stacks with go-libp2p and rust-libp2p, both directions. Skipped, with the reason, where the language is not there.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, it } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { buildPeer, go, rust, startPeer } from './foreign-peer.ts'
import { exchange, PROTOCOLS, readAll, stacks, startStack, writeAll } from './stacks.ts'
import type { Connection } from '@libp2p/interface'
import type { ForeignPeer, Task } from './foreign-peer.ts'
import type { InteropNode } from './stacks.ts'

const MEBIBYTE = 1024 * 1024
const BULK_BYTES = 100 * MEBIBYTE
const OURS = Object.keys(stacks).filter((name) => !name.startsWith('stock'))

for (const language of [go, rust])
  for (const name of OURS)
    describe(`${name} with ${language.name}-libp2p`, () => {
      let node: InteropNode | null = null
      let peer: ForeignPeer | null = null
      let connection: Connection | null = null
      const steps: string[] = []
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
        const onProgress = ({ type }: { readonly type: string }): void => void steps.push(type)
        if (connection?.status !== 'open') connection = await from.dial(multiaddr(to.address), { signal, onProgress })
        return connection
      }

      test('dials, identifies and pings', async (from, to) => {
        const { remotePeer } = await dialled(from, to)
        assert.ok((await from.services.ping.ping(remotePeer, { signal })) >= 0)
        const agent = async (): Promise<unknown> => (await from.peerStore.get(remotePeer)).metadata.get('AgentVersion')
        while ((await agent()) === undefined) await new Promise((resolve) => setTimeout(resolve, 5))
        assert.equal(Buffer.from((await agent()) as Uint8Array).toString(), `nz-test-${language.name}`)
      })

      test('negotiates the muxer inside the handshake when both do', async (from, to) => {
        await dialled(from, to)
        const isEarly = language.isEarly && !name.includes('late')
        assert.equal(!steps.includes('upgrader:multiplex-outbound-connection'), isEarly)
      })

      test('moves bytes both ways at once', async (from, to) => {
        await exchange(await dialled(from, to), BULK_BYTES, signal)
      })

      test('runs many streams side by side', async (from, to) => {
        const open = await dialled(from, to)
        await Promise.all(Array.from({ length: 50 }, async (_, i) => await exchange(open, 40_000 + i, signal)))
      })

      test('half closes, waits at the end of the window for a reader that is late, and is told of a reset', async (from, to) => {
        const open = await dialled(from, to)
        const stream = await open.newStream(PROTOCOLS.sink, { signal })
        const heard = readAll(stream)
        assert.equal(await writeAll(stream, new Uint8Array(2 * MEBIBYTE)), true)
        await stream.close({ signal })
        assert.equal((await heard).toString(), String(2 * MEBIBYTE))
        const doomed = await open.newStream(PROTOCOLS.reset, { signal })
        const closed = once(doomed as unknown as EventTarget, 'close')
        doomed.send(Uint8Array.of(1))
        await closed
        assert.equal(doomed.status, 'reset')
      })

      test('says goodbye', async (from, to) => {
        const open = await dialled(from, to)
        const closed = once(open as unknown as EventTarget, 'close') as Promise<[Event & { error?: Error }]>
        await open.close({ signal })
        const [{ error }] = await closed
        assert.equal(error, undefined)
        const { ok, why: reason } = await to.ask({ do: 'alone', address: to.address }, { signal })
        assert.ok(ok, reason)
      })

      const tasks: ReadonlyArray<readonly [title: string, task: Omit<Task, 'address'>]> = [
        ['is identified', { do: 'identify' }],
        ['is pinged', { do: 'ping' }],
        ['gives back what it is sent, both ways at once', { do: 'echo', bytes: BULK_BYTES }],
        ['serves many streams side by side', { do: 'streams', streams: 50, bytes: 40_000 }],
        ['resets a stream', { do: 'reset' }],
      ]
      for (const [title, task] of tasks)
        test(`is dialled and ${title}`, async (to, from) => {
          const address = String(to.getMultiaddrs()[0])
          const { ok, why: reason } = await from.ask({ ...task, address }, { signal: AbortSignal.timeout(300_000) })
          assert.ok(ok, reason)
        })

      test('is dialled and said goodbye to', async (to, from) => {
        const address = String(to.getMultiaddrs()[0])
        const { ok, why: reason } = await from.ask({ do: 'ping', address }, { signal: AbortSignal.timeout(300_000) })
        assert.ok(ok, reason)
        const ended = to.getConnections().map(async (each) => {
          const [{ error }] = (await once(each as unknown as EventTarget, 'close')) as [Event & { error?: Error }]
          // Go closes its socket without having read our last answer: the system resets it, and its GoAway is lost.
          if (language !== go) assert.equal(error, undefined)
          assert.notEqual(each.status, 'open')
        })
        assert.ok(ended.length > 0)
        const said = await from.ask({ do: 'close', address }, { signal: AbortSignal.timeout(300_000) })
        assert.ok(said.ok, said.why)
        await Promise.all(ended)
      })
    })
