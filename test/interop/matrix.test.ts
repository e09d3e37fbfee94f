/**
 * Every stack with every other, both directions: what libp2p peers do with each other, and what goes wrong between them.
 * NZ_FULL=1 moves 100 MiB in place of 4.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, it } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { muxerOf } from '../../modules/network/muxer/backend.ts'
import { exchange, PROTOCOLS, readAll, stacks, startStack, writeAll } from './stacks.ts'
import type { Connection } from '@libp2p/interface'
import type { InteropNode } from './stacks.ts'

const MEBIBYTE = 1024 * 1024
const BULK_BYTES = (process.env['NZ_FULL'] === '1' ? 100 : 4) * MEBIBYTE
const signal = AbortSignal.timeout(280_000)
const dialers = new Map<string, InteropNode>()
const listeners = new Map<string, InteropNode>()
const names = Object.keys(stacks)

before(async () => {
  for (const [name, make] of Object.entries(stacks)) {
    const security = await make()
    if (typeof security === 'string') {
      process.stdout.write(`# skipped: ${name}: ${security}\n`)
      continue
    }
    dialers.set(name, await startStack(security))
    listeners.set(name, await startStack(security))
  }
})
after(async () => {
  await Promise.all([...dialers.values(), ...listeners.values()].map(async (node) => await node.stop()))
})

async function connect(
  dialer: InteropNode,
  listener: InteropNode,
): Promise<{ connection: Connection; steps: string[] }> {
  const steps: string[] = []
  const address = multiaddr(String(listener.getMultiaddrs()[0]))
  const onProgress = ({ type }: { readonly type: string }): void => void steps.push(type)
  const connection = await dialer.dial(address, { signal, force: true, onProgress })
  return { connection, steps }
}

for (const from of names)
  for (const to of names)
    describe(`${from} → ${to}`, () => {
      let open: Connection | null = null
      let steps: string[] = []
      before(async () => {
        const [dialer, listener] = [dialers.get(from), listeners.get(to)]
        if (dialer !== undefined && listener !== undefined) {
          ;({ connection: open, steps } = await connect(dialer, listener))
        }
      })
      after(() => open?.abort(new Error('done')))

      const test = (name: string, run: (connection: Connection) => Promise<void>): void => {
        it(name, async (t) => {
          if (open === null) return t.skip('a stack is missing')
          await run(open)
        })
      }

      test('negotiates the muxer inside the handshake when both do', async () => {
        const isEarly = !from.includes('late') && !to.includes('late')
        assert.equal(!steps.includes('upgrader:multiplex-outbound-connection'), isEarly)
      })

      test('is moved by the stack it is named for', async (connection) => {
        const { backend } = muxerOf(connection)
        const [kind = ''] = from.split(',')
        assert.ok(
          { native: ['io_uring', 'epoll'], typescript: ['typescript'], stock: ['libp2p'] }[kind]?.includes(backend),
        )
      })

      test('identifies and pings', async ({ remotePeer }) => {
        const [dialer, listener] = [dialers.get(from), listeners.get(to)]
        assert.ok(dialer && listener)
        assert.ok((await dialer.services.ping.ping(remotePeer, { signal })) >= 0)
        assert.ok((await listener.services.ping.ping(dialer.peerId, { signal })) >= 0)
        const known = async (): Promise<number> => (await dialer.peerStore.get(remotePeer)).protocols.length
        while ((await known()) < 4) await new Promise((resolve) => setTimeout(resolve, 5))
      })

      test('moves bytes both ways at once', async (connection) => await exchange(connection, BULK_BYTES, signal))

      test('runs many streams side by side', async (connection) => {
        await Promise.all(Array.from({ length: 50 }, async (_, i) => await exchange(connection, 40_000 + i, signal)))
      })

      test('half closes, and waits at the end of the window for a reader that is late', async (connection) => {
        const stream = await connection.newStream(PROTOCOLS.sink, { signal })
        const heard = readAll(stream)
        assert.equal(await writeAll(stream, new Uint8Array(2 * MEBIBYTE)), true)
        await stream.close({ signal })
        assert.equal((await heard).toString(), String(2 * MEBIBYTE))
      })

      test('resets one stream, and the connection goes on', async (connection) => {
        const stream = await connection.newStream(PROTOCOLS.reset, { signal })
        const closed = once(stream as unknown as EventTarget, 'close')
        stream.send(Uint8Array.of(1))
        await closed
        assert.equal(stream.status, 'reset')
        await exchange(connection, 1_000, signal)
      })

      test('says goodbye, and both sides close without an error', async (connection) => {
        const listener = listeners.get(to)
        const there = listener
          ?.getConnections()
          .find(
            ({ remoteAddr, direction }) =>
              direction === 'inbound' && remoteAddr.toString().includes(String(dialers.get(from)?.peerId)),
          )
        assert.ok(there)
        const closed = once(there as unknown as EventTarget, 'close') as Promise<[Event & { error?: Error }]>
        await connection.close({ signal })
        const [{ error }] = await closed
        assert.equal(error, undefined)
        assert.deepEqual([connection.status, there.status], ['closed', 'closed'])
      })
    })
