/**
 * Slow writers keep nobody out: 200 connections a second from 10 addresses, on both listeners, each saying the beginning
 * of a handshake at one byte a second. Others go on being served, and what the node holds for it all is bounded: the
 * descriptors come back, and after three floods no more memory is in use than before.
 * Three floods of 2 s; NZ_FULL=1: of 60 s.
 */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { it } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { NODE_FLAGS } from '../../cli/node-flags.ts'
import { startNetworkNode } from '../fake/network-node.ts'
import { stockLibp2p } from '../fake/stock-libp2p.ts'
import { Conversation } from '../net/conversation.ts'
import type { PeerQuestion } from '../net/peer.ts'
import type { Socket } from 'node:net'

const FLOOD_MS = process.env['NZ_FULL'] === '1' ? 60_000 : 2_000
const FLOODS = 3
const PER_SECOND = 200
const HONEST_PAUSE_MS = 250
const ADDRESSES = Array.from({ length: 10 }, (_, at) => `127.0.${20 + at}.1`)
/**
 * Resident memory, which is mostly what V8 has taken for garbage before it collects (up to 130 MB of heap, of which 27 are
 * in use): it never gives pages back, whatever is free in them, and uses them the next time.
 */
const MAX_GROWTH_BYTES = 192 * 1024 * 1024
/** What is in use may have grown by so much after each flood: code that was compiled by the way, buffers kept for reuse. */
const MAX_LIVE_GROWTH_BYTES = 8 * 1024 * 1024
/** Those of honest dials that come and go meanwhile. */
const DESCRIPTORS_OF_HONEST = 8
const MAX_DESCRIPTORS = 1_024 + 256 + 64

/** Each is right so far, and never ends. */
const BEGINNINGS = [
  Buffer.from('\u0013/multistream/1.0.0\n\u0007/noise\n'.padEnd(200, 'x')),
  Buffer.from(`GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ${'x'.repeat(200)}`),
]

const wait = async (ms: number): Promise<void> => await new Promise((resolve) => setTimeout(resolve, ms))

/** Connections that each write one byte a second until they are cut. */
class SlowWriters {
  readonly #ports: readonly number[]
  readonly #open = new Map<Socket, { said: number; readonly text: Buffer }>()
  opened = 0
  cut = 0

  constructor(ports: readonly number[]) {
    this.#ports = ports
  }

  async flood(durationMs: number, isNeeded: () => boolean): Promise<void> {
    const begunMs = performance.now()
    const before = this.opened
    let toldMs = begunMs
    for (let nowMs = begunMs; nowMs - begunMs < durationMs || isNeeded(); nowMs = performance.now()) {
      for (; this.opened - before < ((nowMs - begunMs) / 1_000) * PER_SECOND; this.opened += 1) this.#begin(this.opened)
      if (nowMs - toldMs >= 1_000) {
        toldMs = nowMs
        for (const [socket, each] of this.#open) socket.write(each.text.subarray(each.said, (each.said += 1)))
      }
      await wait(5)
    }
  }

  end(): void {
    for (const socket of this.#open.keys()) socket.destroy()
  }

  #begin(at: number): void {
    const socket = connect({
      host: '127.0.0.1',
      port: this.#ports[at % this.#ports.length] ?? 0,
      localAddress: ADDRESSES[(at >> 1) % ADDRESSES.length] ?? '',
    })
    this.#open.set(socket, { said: 0, text: BEGINNINGS[at % BEGINNINGS.length] ?? Buffer.alloc(0) })
    socket
      .on('error', () => undefined)
      .on('data', () => undefined)
      .once('close', () => {
        this.cut += 1
        this.#open.delete(socket)
      })
  }
}

interface Held {
  readonly descriptors: number
  readonly residentBytes: number
}

async function heldBy(pid: number): Promise<Held> {
  const [descriptors, status] = await Promise.all([readdir(`/proc/${pid}/fd`), readFile(`/proc/${pid}/status`, 'utf8')])
  return {
    descriptors: descriptors.length,
    residentBytes: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1_024,
  }
}

/** What is held once no more descriptors are than may be: closed sockets go when the node has been told, and has looked. */
async function settled(pid: number, maxDescriptors: number): Promise<Held> {
  let held = await heldBy(pid)
  for (const endMs = performance.now() + 60_000; performance.now() < endMs; held = await heldBy(pid)) {
    if (held.descriptors <= maxDescriptors) break
    await wait(100)
  }
  return held
}

const skip = process.platform === 'linux' ? false : 'what a process holds is read from /proc'

it(
  '200 slow writers a second: others are served, and what they cost is bounded',
  { timeout: 420_000, skip },
  async (t) => {
    const child = fork(join(import.meta.dirname, '../net/peer-process.ts'), {
      execArgv: [...NODE_FLAGS, '--expose-gc'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    await once(child, 'message')
    const node = new Conversation<PeerQuestion>(child)
    const pid = child.pid ?? 0
    const honest = await stockLibp2p({ localAddress: '127.0.77.7' })
    const friend = await startNetworkNode()
    try {
      const config = { limits: { handshakesPerSecondFromLoopback: 10 } }
      const peerId = String(await node.ask({ ask: 'start', config }))
      const addresses = (await node.ask({ ask: 'addresses' })) as readonly string[]
      const ports = addresses.map((address) => Number(address.split('/')[4]))
      const signal = AbortSignal.timeout(400_000)
      await friend.network.connect(peerId, { addresses, signal })
      const [since] = friend.network.peer(peerId)?.paths ?? []
      const before = await heldBy(pid)

      const writers = new SlowWriters(ports)
      const served = { dials: 0, failed: 0, echoes: 0 }
      const most = { descriptors: 0, residentBytes: 0 }
      const left: number[] = []
      const live = async (): Promise<number> => (await node.ask({ ask: 'live' })) as number
      const liveBefore = await live()
      let isOver = false
      const dials = async (): Promise<void> => {
        for (; !isOver || served.dials < 10; await wait(HONEST_PAUSE_MS)) {
          served.dials += 1
          try {
            const dialled = await honest.dial(multiaddr(addresses[0] ?? ''), { signal: AbortSignal.timeout(20_000) })
            await dialled.close()
          } catch (error) {
            served.failed += 1
            t.diagnostic(`a dial failed: ${String(error)}`)
          }
        }
      }
      const echoes = async (): Promise<void> => {
        for (; !isOver || served.echoes < 10; served.echoes += 1) {
          const stream = await friend.network.openStream(peerId, '/nz/lab-echo/1', { signal })
          await stream.write(new Uint8Array(65_536), { signal })
          await stream.closeWrite({ signal })
          let back = 0
          for (let bytes = await stream.read({ signal }); bytes !== null; bytes = await stream.read({ signal }))
            back += bytes.length
          assert.equal(back, 65_536)
          await wait(50)
        }
      }
      const samples = async (): Promise<void> => {
        for (; !isOver; await wait(200)) {
          const held = await heldBy(pid)
          most.descriptors = Math.max(most.descriptors, held.descriptors)
          most.residentBytes = Math.max(most.residentBytes, held.residentBytes)
        }
      }
      const floods = async (): Promise<void> => {
        for (let flood = 0; flood < FLOODS; flood += 1) {
          await writers.flood(FLOOD_MS, () => served.dials < 10 || served.echoes < 10)
          writers.end()
          await settled(pid, before.descriptors + DESCRIPTORS_OF_HONEST)
          left.push((await live()) - liveBefore)
        }
      }
      await Promise.all([floods().finally(() => (isOver = true)), dials(), echoes(), samples()])
      const connectedSince = friend.network.peer(peerId)?.paths[0]?.openedAtMs
      const after = await settled(pid, before.descriptors + 2)
      const { opened, cut } = writers
      const mib = (bytes: number): string => `${(bytes / 1_048_576).toFixed(0)} MiB`
      t.diagnostic(
        `${opened} slow writers, ${cut} cut by the node; ${served.dials - served.failed}/${served.dials} honest dials, ` +
          `${served.echoes} echoes of 64 KiB; descriptors ${before.descriptors}, at most ${most.descriptors}, then ${after.descriptors}; ` +
          `resident ${mib(before.residentBytes)}, at most ${mib(most.residentBytes)}, then ${mib(after.residentBytes)}; in use more than before after each flood: ${left.map(mib).join(', ')}`,
      )
      assert.ok(opened >= ((FLOODS * FLOOD_MS) / 1_000) * PER_SECOND * 0.9, 'the floods came about')
      assert.ok(served.failed <= served.dials * 0.01)
      assert.equal(connectedSince, since?.openedAtMs, 'the connection that stood before stands')
      assert.ok(most.descriptors <= MAX_DESCRIPTORS, `${most.descriptors} descriptors`)
      assert.ok(after.descriptors <= before.descriptors + 2, `${after.descriptors} descriptors are left`)
      assert.ok(most.residentBytes - before.residentBytes <= MAX_GROWTH_BYTES, mib(most.residentBytes))
      for (const grown of left) assert.ok(grown <= MAX_LIVE_GROWTH_BYTES, `${mib(grown)} more are in use`)
    } finally {
      child.kill('SIGKILL')
      await Promise.all([honest.stop(), friend.stop()])
    }
  },
)
