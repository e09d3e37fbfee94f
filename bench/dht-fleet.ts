/** The nodes of one variant, in several processes, driven one lookup at a time. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { extname, join } from 'node:path'
import type { DhtVariant } from './dht-nodes.ts'
import type { DhtOrder, Started, Timed, Usage } from './dht-process.ts'

const START_TIMEOUT_MS = 1_200_000
const ORDER_TIMEOUT_MS = 300_000
/** More would wait for each other on few processors. */
const STARTED_AT_ONCE = 5
/** Nodes of the first processes that all others join by. */
const BOOTSTRAP_NODES = 3

interface Member {
  readonly child: ChildProcess
  readonly nodes: Started['nodes']
}

export interface NodeAt {
  readonly member: number
  readonly node: number
  readonly peerId: string
}

export class Fleet implements AsyncDisposable {
  readonly variant: DhtVariant
  readonly #members: Member[] = []
  readonly #waiting = new Map<number, (reply: { readonly value?: unknown; readonly error?: string }) => void>()
  #lastId = 0

  constructor(variant: DhtVariant) {
    this.variant = variant
  }

  /** The first process alone, for the others to join by, then some at a time. */
  async start({ processes, nodes }: { readonly processes: number; readonly nodes: number }): Promise<void> {
    const countOf = (at: number): number => Math.floor(nodes / processes) + (at < nodes % processes ? 1 : 0)
    for (let from = 0; from < processes;) {
      const to = Math.min(processes, from + (from === 0 ? 1 : STARTED_AT_ONCE))
      const bootstrap = this.#members.flatMap((member) => member.nodes[0]?.address ?? []).slice(0, BOOTSTRAP_NODES)
      const starting = Array.from({ length: to - from }, async (_, at) => {
        const child = this.#fork()
        this.#members[from + at] = { child, nodes: [] }
        const order: DhtOrder = { kind: 'start', variant: this.variant, count: countOf(from + at), bootstrap }
        const started = (await this.#order(child, order, START_TIMEOUT_MS)) as Started
        this.#members[from + at] = { child, nodes: started.nodes }
      })
      await Promise.all(starting)
      from = to
    }
  }

  /** Every node that was not killed. */
  nodes(): readonly NodeAt[] {
    return this.#members.flatMap(({ child, nodes }, member) =>
      child.killed ? [] : nodes.map(({ peerId }, node) => ({ member, node, peerId })),
    )
  }

  async tables(): Promise<readonly number[]> {
    const all = await Promise.all(this.#alive().map(async ({ child }) => await this.#order(child, { kind: 'tables' })))
    return all.flatMap((sizes) => sizes as number[])
  }

  /** CPU time since they began, the memory of all, and the open connections of each node. */
  async usage(): Promise<Usage> {
    const all = await Promise.all(this.#alive().map(async ({ child }) => await this.#order(child, { kind: 'usage' })))
    const used = all as Usage[]
    return {
      cpuMs: total(used.map(({ cpuMs }) => cpuMs)),
      peakMb: total(used.map(({ peakMb }) => peakMb)),
      connections: used.flatMap(({ connections }) => connections),
    }
  }

  async find(from: NodeAt, peerId: string): Promise<Timed> {
    return (await this.#at(from, { kind: 'find', node: from.node, peerId })) as Timed
  }

  async put(from: NodeAt, name: string, value: string): Promise<Timed> {
    return (await this.#at(from, { kind: 'put', node: from.node, name, value })) as Timed
  }

  async get(from: NodeAt, { peerId }: NodeAt, name: string, value: string): Promise<Timed> {
    return (await this.#at(from, { kind: 'get', node: from.node, peerId, name, value })) as Timed
  }

  /** Ends whole processes without notice, the last ones first. */
  kill(count: number): void {
    for (const { child } of this.#alive().slice(-count)) child.kill('SIGKILL')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve()
    for (const { child } of this.#alive()) child.kill('SIGKILL')
  }

  #alive(): readonly Member[] {
    return this.#members.filter(({ child }) => !child.killed)
  }

  #fork(): ChildProcess {
    const program = join(import.meta.dirname, `dht-process${extname(import.meta.filename)}`)
    const child = fork(program, [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    child.on('message', (reply: { readonly id: number; readonly value?: unknown; readonly error?: string }) => {
      this.#waiting.get(reply.id)?.(reply)
      this.#waiting.delete(reply.id)
    })
    return child
  }

  async #at({ member }: NodeAt, order: DhtOrder): Promise<unknown> {
    const child = this.#members[member]?.child
    if (child === undefined) throw new Error(`there is no process ${member}`)
    return await this.#order(child, order)
  }

  async #order(child: ChildProcess, order: DhtOrder, timeoutMs = ORDER_TIMEOUT_MS): Promise<unknown> {
    const id = ++this.#lastId
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const onExit = (): void => reject(new Error(`the process of ${this.variant} has ended`))
    const timer = setTimeout(() => reject(new Error(`${this.variant} did not ${order.kind} in time`)), timeoutMs)
    child.once('exit', onExit)
    this.#waiting.set(id, ({ value, error }) => (error === undefined ? resolve(value) : reject(new Error(error))))
    child.send({ id, order })
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      child.off('exit', onExit)
      this.#waiting.delete(id)
    }
  }
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}
