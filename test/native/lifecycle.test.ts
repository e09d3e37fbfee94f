/**
 * The native session in its environment: workers that come and go, a process that ends in the middle of a transfer, a
 * killed peer, no descriptors left, connections by the thousand.
 *
 * NZ_FULL: 10,000 connections in place of 1,000, and of 200 outside of CI.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { resolve } from 'node:path'
import { after, describe, it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Worker } from 'node:worker_threads'
import { startTestEngine, whyNoNative } from '../fake/native-libp2p.ts'
import { nativePair } from '../fake/native-pair.ts'
import type { Socket } from 'node:net'

const skip = whyNoNative()
const MIB = 1024 * 1024
const isFull = process.env['NZ_FULL'] !== undefined
const CONNECTIONS = isFull ? 10_000 : process.env['CI'] === undefined ? 200 : 1_000
const child = resolve(import.meta.dirname, '../fake/native-child.ts')

/**
 * What is in use: of the heap after a collection, and of the process, whole and without the heap. V8 chooses how much heap
 * it holds, and gives pages back later than it says so: memory that is lost shows in both.
 */
function memory(): { heapBytes: number; rssBytes: number; otherBytes: number } {
  collect()
  const { rss, heapTotal, heapUsed } = process.memoryUsage()
  return { heapBytes: heapUsed, rssBytes: rss, otherBytes: rss - heapTotal }
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const descriptors = (): number => readdirSync('/proc/self/fd').length

for (const choice of ['auto', 'epoll'] as const)
  describe(`the native session (${choice})`, { skip, timeout: isFull ? 1_800_000 : 400_000 }, () => {
    if (skip !== false) return
    const engine = startTestEngine(choice)
    after(() => engine.stop())

    it('opens and closes connections without leaving a descriptor, a session or memory behind', async (t) => {
      const round = async (count: number): Promise<void> => {
        for (let i = 0; i < count; i++) {
          const pair = await nativePair(engine)
          const stream = await pair.dialler.createStream()
          stream.send(Uint8Array.of(1, 2, 3))
          // In order, abruptly, and by the other side.
          if (i % 3 === 0) await pair.dialler.close()
          if (i % 3 === 1) pair.dialler.abort(new Error('enough'))
          await pair.close(i % 2 === 0)
        }
        while (engine.size > 0) await new Promise((settle) => setTimeout(settle, 5))
      }
      // What the first ones make of the heap and of the pools stays.
      await round(Math.ceil(CONNECTIONS / 5))
      const before = { descriptors: descriptors(), ...memory() }
      await round(CONNECTIONS)
      assert.equal(engine.size, 0)
      const now = { descriptors: descriptors(), ...memory() }
      const grown = {
        descriptors: now.descriptors - before.descriptors,
        heapBytes: now.heapBytes - before.heapBytes,
        processBytes: Math.min(now.rssBytes - before.rssBytes, now.otherBytes - before.otherBytes),
      }
      t.diagnostic(`after ${CONNECTIONS} connections: ${JSON.stringify(grown)}`)
      assert.ok(grown.descriptors <= 2 && grown.heapBytes < 32 * MIB && grown.processBytes < 64 * MIB)
    })

    it('leaves a connection to the fallback when there is no descriptor for it', async () => {
      const full = await nativePair(engine, { hasNoDescriptors: true })
      assert.equal(full.fallbacks, 2)
      await full.close(false)
    })

    it('tells a killed peer from one that closes', async () => {
      const server = createServer()
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      const { port } = server.address() as { port: number }
      const accepted = once(server, 'connection') as Promise<[Socket]>
      const peer = spawn(process.execPath, [child, 'dial', choice, String(port)], { stdio: 'ignore' })
      const [socket] = await accepted
      const pair = await nativePair(engine, { accepted: socket })
      const [stream] = (await once(pair.listener as unknown as EventTarget, 'stream')) as [{ detail: EventTarget }]
      const closed = once(stream.detail, 'close')
      peer.kill('SIGKILL')
      await closed
      while (engine.size > 0) await new Promise((settle) => setTimeout(settle, 5))
      server.close()
    })
  })

describe('an environment with the native session', { skip, timeout: 120_000 }, () => {
  if (skip !== false) return

  it('ends as a worker, at any moment, again and again', async () => {
    for (let i = 0; i < 6; i++) {
      // With a connection that the thread has by then, and with one that it has not.
      const what = i % 3 === 1 ? 'held' : 'transfer'
      const worker = new Worker(child, { argv: [what, i % 2 === 0 ? 'auto' : 'epoll'] })
      await once(worker, 'message')
      if (i % 3 === 0) await new Promise((settle) => setTimeout(settle, i * 5))
      assert.equal(typeof (await worker.terminate()), 'number')
    }
  })

  for (const end of ['exit', 'throw', 'stop', 'idle'] as const)
    it(`ends as a process in the middle of a transfer: ${end}`, async () => {
      for (const choice of ['auto', 'epoll']) {
        const running = spawn(process.execPath, [child, end, choice], { stdio: ['ignore', 'pipe', 'pipe'] })
        let text = ''
        running.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
        running.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))
        const [status, signal] = (await once(running, 'close')) as [number | null, NodeJS.Signals | null]
        assert.equal(signal, null, text)
        assert.equal(status, end === 'throw' ? 1 : 0, text)
      }
    })

  it('needs no connection to end, and is kept alive by one', async () => {
    const running = spawn(process.execPath, [child, 'held', 'auto'], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [first] = (await once(running.stdout, 'data')) as [Buffer]
    assert.equal(first.toString().trim(), 'open')
    await new Promise((settle) => setTimeout(settle, 300))
    assert.equal(running.exitCode, null)
    running.kill('SIGTERM')
    await once(running, 'close')
  })
})
