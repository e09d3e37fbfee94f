/**
 * Nodes that all talk to each other, a few to a process. Each of 50 nodes dials three others, so that every node has six
 * connections, and sends on each that it dialled; time runs from the word to the last answer.
 */
import type { ChildProcess } from 'node:child_process'
import { endProcesses, replyOf, startProcess, usageOf } from './processes.ts'
import type { Reply, Usage } from './processes.ts'
import type { TransportName } from './transports/index.ts'
import type { Work } from './work.ts'

export interface MeshSize {
  readonly nodes: number
  readonly processes: number
  /** Messages of 1 KiB from the dialling end of each connection. */
  readonly messagesPerEdge: number
}

/** From one node of a process, by its number there, to an address. */
export interface Edge {
  readonly from: number
  readonly to: string
}

export type MeshOrder =
  | 'usage'
  | 'go'
  /** Opens a stream an edge; connections stay. */
  | { readonly edges: readonly Edge[]; readonly work: Work }

export interface MeshRound extends Usage {
  readonly ms: number
}

export interface Mesh extends AsyncDisposable {
  run(): Promise<MeshRound>
}

/** For all processes together to start, to connect, or to send: they share the cores of one machine. */
const MESH_TIMEOUT_MS = 240_000

/** How far the nodes that one node dials are from it, in a ring of all. */
const STRIDES = [1, 7, 18]

export function edgeCount({ nodes }: MeshSize): number {
  return nodes * STRIDES.length
}

/** The edges that each process dials, for the addresses of its nodes. */
export function edgesOf(addresses: readonly (readonly string[])[]): readonly (readonly Edge[])[] {
  const all = addresses.flat()
  let first = 0
  return addresses.map((own) => {
    const base = first
    first += own.length
    return own.flatMap((_, from) =>
      STRIDES.map((stride): Edge => ({ from, to: all[(base + from + stride) % all.length] ?? '' })),
    )
  })
}

export async function startMesh(name: TransportName, size: MeshSize): Promise<Mesh> {
  const children: ChildProcess[] = []
  try {
    for (let i = 0; i < size.processes; i++)
      children.push(startProcess('mesh-process', name, [name, String(share(size, i))]))
    const replies = await Promise.all(children.map(async (child) => await replyOf(child, MESH_TIMEOUT_MS)))
    const addresses = replies.map((said) => ('addresses' in said ? said.addresses : []))
    const started = addresses.flat().length
    if (started !== size.nodes) throw new Error(`${name}: ${started} of ${size.nodes} nodes have started`)
    const edges = edgesOf(addresses)
    const work = { kind: 'send', count: size.messagesPerEdge, size: 1_024 } as const
    return {
      async run() {
        await tellAll(children, (i) => ({ edges: edges[i] ?? [], work }))
        const before = await usageOf(children)
        const startedAt = performance.now()
        await tellAll(children, () => 'go')
        const ms = performance.now() - startedAt
        const after = await usageOf(children)
        return { ...after, ms, cpuMs: after.cpuMs - before.cpuMs }
      },
      [Symbol.asyncDispose]: async () => await endProcesses(children),
    }
  } catch (error) {
    await endProcesses(children)
    throw error
  }
}

async function tellAll(children: readonly ChildProcess[], orderOf: (index: number) => MeshOrder): Promise<void> {
  const replies = children.map(async (child, i): Promise<Reply> => {
    const said = replyOf(child, MESH_TIMEOUT_MS)
    child.send(orderOf(i))
    return await said
  })
  for (const said of await Promise.all(replies)) if ('error' in said) throw new Error(said.error)
}

function share({ nodes, processes }: MeshSize, index: number): number {
  return Math.floor(nodes / processes) + (index < nodes % processes ? 1 : 0)
}
