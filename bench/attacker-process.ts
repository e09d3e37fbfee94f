/** A hostile peer in a process of its own: attacks while it is told to, and says what it did (attack.bench.ts). */
import { setTimeout as sleep } from 'node:timers/promises'
import { attack, isAttack } from './attacks.ts'
import { HostilePeer } from './hostile-peer.ts'
import { Line } from './line.ts'
import type { Attack } from './attacks.ts'

/** To a connection that is cut follows another: ten a second, what a node lets in from one address. */
const BETWEEN_CONNECTIONS_MS = 100
/** Those of a silent peer; a node lets in as many from one address. */
const SILENT_CONNECTIONS = 64

export type AttackOrder =
  | { readonly attack: Attack; readonly address: string; readonly bytesPerSecond: number }
  /** Ends every connection. */
  | 'stop'

export type AttackReply =
  | { readonly state: 'under-way' }
  | { readonly state: 'failed'; readonly why: string }
  | {
      readonly state: 'stopped'
      readonly ms: number
      readonly cpuMs: number
      readonly sentBytes: number
      readonly connections: number
    }

interface Running {
  readonly line: Line
  readonly peers: Set<HostilePeer>
  readonly startedAtMs: number
  readonly cpu: NodeJS.CpuUsage
  connections: number
  isOver: boolean
}

let running: Running | null = null

// Whoever started this process has gone: nobody would end it.
process.on('disconnect', () => process.exit(0))

process.on('message', (order: AttackOrder) => {
  if (order === 'stop') return stop()
  if (!isAttack(order.attack)) throw new Error('no such attack')
  const line = new Line(order.bytesPerSecond)
  const now: Running = {
    line,
    peers: new Set(),
    startedAtMs: performance.now(),
    cpu: process.cpuUsage(),
    connections: 0,
    isOver: false,
  }
  running = now
  const count = order.attack === 'silent' ? SILENT_CONNECTIONS : 1
  const first = Promise.withResolvers<void>()
  for (let i = 0; i < count; i++) void again(now, order.attack, order.address, first)
  first.promise.then(
    () => reply({ state: 'under-way' }),
    (error: unknown) => reply({ state: 'failed', why: String(error) }),
  )
})

async function again(
  now: Running,
  what: Attack,
  address: string,
  first: { readonly resolve: () => void; readonly reject: (error: unknown) => void },
): Promise<void> {
  while (!now.isOver) {
    try {
      const peer = await HostilePeer.meet(address, now.line)
      now.peers.add(peer)
      now.connections += 1
      if (now.isOver) peer.close()
      first.resolve()
      await attack(peer, what)
      now.peers.delete(peer)
    } catch (error) {
      first.reject(error)
    }
    await sleep(BETWEEN_CONNECTIONS_MS)
  }
}

function stop(): void {
  if (running === null) return
  const { peers, startedAtMs, cpu, line, connections } = running
  running.isOver = true
  for (const peer of peers) peer.close()
  const { user, system } = process.cpuUsage(cpu)
  const ms = performance.now() - startedAtMs
  reply({ state: 'stopped', ms, cpuMs: (user + system) / 1_000, sentBytes: line.sentBytes, connections })
  running = null
}

function reply(message: AttackReply): void {
  process.send?.(message)
}
