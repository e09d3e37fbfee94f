/** Two processes for each variant, which stay for all rounds of a bench. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { NODE_FLAGS } from '../cli/node-flags.ts'
import type { TransportName } from './transports/index.ts'
import type { Measured, Work } from './work.ts'

export type UsageOrder = 'usage' | 'usage-collected'

export interface Order {
  readonly work: Work
  readonly timeoutMs: number
}

/** What a process has used since it began. */
export interface Usage {
  readonly cpuMs: number
  readonly peakMb: number
  /** Now; of `usage-collected` after a collection. */
  readonly residentMb: number
}

export type Reply =
  | { readonly address: string }
  | { readonly addresses: readonly string[] }
  | { readonly error: string }
  | Measured
  | Usage

/** A measurement with what both processes of the pair used for it. */
export interface Costed extends Measured {
  readonly cpuMs: number
  /** Of the larger of the two, since it began. */
  readonly peakMb: number
  /** By how much the resident memory of both together has grown; for `hold`, after a collection. */
  readonly grownMb: number
}

/** What runs as a node does; programs that use a library run as Node has it. */
const AS_A_NODE: ReadonlySet<string> = new Set<TransportName>([
  'nzcore',
  'nzcore-batched',
  'nzcore-typescript',
  'libp2p-as-node',
])

/** Of one process; longer where it makes many connections. */
const READY_TIMEOUT_MS = 60_000
const READY_TIMEOUT_MS_PER_CLIENT = 400
const WORK_TIMEOUT_MS = 60_000

export interface Pair extends AsyncDisposable {
  readonly name: TransportName
  /** Of the server. */
  readonly address: string
  run(work: Work): Promise<Costed>
}

/** `clients`: how many the client process is, each with a connection of its own. */
export async function startPair(name: TransportName, clients = 1): Promise<Pair> {
  const children: ChildProcess[] = []
  const base = await mkdtemp(join(tmpdir(), 'nzb-'))
  const start = async (...args: string[]): Promise<{ child: ChildProcess; address: string }> => {
    const child = startProcess('peer-process', name, args)
    children.push(child)
    const said = await replyOf(child, READY_TIMEOUT_MS + clients * READY_TIMEOUT_MS_PER_CLIENT)
    if (!('address' in said)) throw new Error(`${name} does not start: ${JSON.stringify(said)}`)
    return { child, address: said.address }
  }
  const stop = async (): Promise<void> => {
    await endProcesses(children)
    await rm(base, { recursive: true, force: true })
  }
  try {
    const { address, child: server } = await start('server', name, join(base, 'server'))
    const { child } = await start('client', name, join(base, 'client'), address, String(clients))
    return {
      name,
      address,
      async run(work) {
        // A collection throws away what the compiler has learnt: only who asks for memory has one.
        const order = work.kind === 'hold' ? 'usage-collected' : 'usage'
        const before = await usageOf([server, child], order)
        child.send({ work, timeoutMs: WORK_TIMEOUT_MS } satisfies Order)
        const said = await replyOf(child, WORK_TIMEOUT_MS + READY_TIMEOUT_MS)
        if (!('ms' in said)) throw new Error(`${name}: ${'error' in said ? said.error : 'no measurement'}`)
        const after = await usageOf([server, child], order)
        const grownMb = after.residentMb - before.residentMb
        return { ...said, cpuMs: after.cpuMs - before.cpuMs, peakMb: after.peakMb, grownMb }
      },
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** A program of this folder in a process of its own, which talks by messages, and measures this transport. */
export function startProcess(program: string, transport: TransportName, args: readonly string[]): ChildProcess {
  const flags = AS_A_NODE.has(transport) ? NODE_FLAGS : []
  return fork(join(import.meta.dirname, `${program}${extname(import.meta.filename)}`), args, {
    execArgv: [...process.execArgv, ...flags, '--expose-gc'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
}

export async function endProcesses(children: readonly ChildProcess[]): Promise<void> {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
}

/** Of all together; the peak is that of the largest. */
export async function usageOf(children: readonly ChildProcess[], order: UsageOrder = 'usage'): Promise<Usage> {
  let [cpuMs, peakMb, residentMb] = [0, 0, 0]
  for (const child of children) {
    child.send(order)
    const said = await replyOf(child, READY_TIMEOUT_MS)
    if (!('cpuMs' in said)) throw new Error('a process of the bench does not say what it uses')
    cpuMs += said.cpuMs
    peakMb = Math.max(peakMb, said.peakMb)
    residentMb += said.residentMb
  }
  return { cpuMs, peakMb, residentMb }
}

export async function replyOf(child: ChildProcess, timeoutMs: number): Promise<Reply> {
  const controller = new AbortController()
  const signal = AbortSignal.any([controller.signal, AbortSignal.timeout(timeoutMs)])
  try {
    return await Promise.race([
      once(child, 'message', { signal }).then(([message]) => message as Reply),
      once(child, 'exit', { signal }).then(([code, by]): never => {
        throw new Error(`a process of the bench ended (${String(code ?? by)})`)
      }),
    ])
  } finally {
    controller.abort()
  }
}
