/** Two processes for each variant, which stay for all rounds of a bench. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import type { TransportName } from './transports/index.ts'
import type { Measured, Work } from './work.ts'

export interface Order {
  readonly work: Work
  readonly timeoutMs: number
}

export type Reply = { readonly address: string } | { readonly error: string } | Measured

const READY_TIMEOUT_MS = 20_000
const WORK_TIMEOUT_MS = 60_000

export interface Pair extends AsyncDisposable {
  readonly name: TransportName
  run(work: Work): Promise<Measured>
}

export async function startPair(name: TransportName): Promise<Pair> {
  const children: ChildProcess[] = []
  const base = await mkdtemp(join(tmpdir(), 'nzb-'))
  const start = async (...args: string[]): Promise<{ child: ChildProcess; address: string }> => {
    const program = join(import.meta.dirname, `peer-process${extname(import.meta.filename)}`)
    const child = fork(program, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    children.push(child)
    const said = await replyOf(child, READY_TIMEOUT_MS)
    if (!('address' in said)) throw new Error(`${name} does not start: ${JSON.stringify(said)}`)
    return { child, address: said.address }
  }
  const stop = async (): Promise<void> => {
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    await rm(base, { recursive: true, force: true })
  }
  try {
    const { address } = await start('server', name, join(base, 'server'))
    const { child } = await start('client', name, join(base, 'client'), address)
    return {
      name,
      async run(work) {
        child.send({ work, timeoutMs: WORK_TIMEOUT_MS } satisfies Order)
        const said = await replyOf(child, WORK_TIMEOUT_MS + READY_TIMEOUT_MS)
        if (!('ms' in said)) throw new Error(`${name}: ${'error' in said ? said.error : 'no measurement'}`)
        return said
      },
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function replyOf(child: ChildProcess, timeoutMs: number): Promise<Reply> {
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
