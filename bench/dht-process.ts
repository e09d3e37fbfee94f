/** Several nodes of a distributed table in a process of its own, told what to do by the process that measures. */
import { setTimeout as pause } from 'node:timers/promises'
import { startDhtNode } from './dht-nodes.ts'
import type { DhtNode, DhtVariant, Looked } from './dht-nodes.ts'

export type DhtOrder =
  | {
      readonly kind: 'start'
      readonly variant: DhtVariant
      readonly count: number
      readonly bootstrap: readonly string[]
    }
  | { readonly kind: 'tables' }
  | { readonly kind: 'usage' }
  | { readonly kind: 'find'; readonly node: number; readonly peerId: string }
  | { readonly kind: 'put'; readonly node: number; readonly name: string; readonly value: string }
  | {
      readonly kind: 'get'
      readonly node: number
      readonly peerId: string
      readonly name: string
      readonly value: string
    }

export interface Started {
  readonly nodes: ReadonlyArray<{ readonly peerId: string; readonly address: string }>
}

export interface Usage {
  readonly cpuMs: number
  readonly peakMb: number
  readonly connections: readonly number[]
}

export interface Timed extends Looked {
  readonly ms: number
}

/** For a node to know another one. */
const JOIN_TIMEOUT_MS = 600_000

const nodes: DhtNode[] = []

// Whoever started this process has gone: nobody would end it.
process.on('disconnect', () => process.exit(0))
process.on('message', ({ id, order }: { readonly id: number; readonly order: DhtOrder }) => {
  answer(order).then(
    (value) => process.send?.({ id, value }),
    (error: unknown) => process.send?.({ id, error: String(error) }),
  )
})

async function answer(order: DhtOrder): Promise<unknown> {
  switch (order.kind) {
    case 'start': {
      for (let at = 0; at < order.count; at++) {
        const first = nodes[0]
        const bootstrap = order.bootstrap.length > 0 ? order.bootstrap : first === undefined ? [] : [first.address]
        const node = await startDhtNode(order.variant, bootstrap)
        nodes.push(node)
        if (bootstrap.length > 0) await joined(node)
      }
      return { nodes: nodes.map(({ peerId, address }) => ({ peerId, address })) } satisfies Started
    }
    case 'tables':
      return nodes.map((node) => node.tableSize())
    case 'usage': {
      const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
      return {
        cpuMs: (userCPUTime + systemCPUTime) / 1_000,
        peakMb: (maxRSS * 1_024) / 1_000_000,
        connections: nodes.map((node) => node.connections()),
      } satisfies Usage
    }
    case 'find':
      return await timed(async (node) => await node.findPeer(order.peerId), order.node)
    case 'put':
      return await timed(async (node) => await node.put(order.name, order.value), order.node)
    case 'get':
      return await timed(async (node) => await node.get(order.peerId, order.name, order.value), order.node)
  }
}

/** One after the other: a hundred at once would all wait for the same few nodes. */
async function joined(node: DhtNode): Promise<void> {
  const signal = AbortSignal.timeout(JOIN_TIMEOUT_MS)
  while (node.tableSize() === 0) await pause(20, undefined, { signal })
}

/** What fails was not found. */
async function timed(work: (node: DhtNode) => Promise<Looked>, at: number): Promise<Timed> {
  const node = nodes[at]
  if (node === undefined) throw new Error(`there is no node ${at}`)
  const startedMs = performance.now()
  try {
    const looked = await work(node)
    return { ...looked, ms: performance.now() - startedMs }
  } catch {
    return { isFound: false, asked: 0, hops: null, ms: performance.now() - startedMs }
  }
}
