/** Nodes as processes that are killed: the lean one and the daemon of the command line, seen by the same eyes. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { ChildProcess } from 'node:child_process'
import type { Readable } from 'node:stream'
import type { LeanNodeOptions } from './lean-node.ts'

const LEAN_NODE = join(import.meta.dirname, 'lean-node.ts')
const LAUNCHER = join(import.meta.dirname, '..', '..', 'cli', 'nzcore.js')
const START_TIMEOUT_MS = 60_000

export interface StartInit {
  /** NZ_HOME of the node. */
  readonly home: string
  /** Put before the command, as `strace` is. */
  readonly wrap?: readonly string[]
  readonly onLine?: (line: string) => void
}

/** A node that was started; it may not be ready yet. */
export class NodeProcess {
  readonly child: ChildProcess
  readonly lines: string[] = []
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>
  #wake = (): void => undefined
  #hasEnded = false
  #stderr = ''

  private constructor(child: ChildProcess, said: Readable, onLine: (line: string) => void) {
    this.child = child
    this.ended = once(child, 'close').then(([code, signal]) => {
      this.#hasEnded = true
      this.#wake()
      return { code: code as number | null, signal: signal as string | null }
    })
    let rest = ''
    said.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n')
      rest = parts.pop() ?? ''
      for (const line of parts) {
        this.lines.push(line)
        onLine(line)
      }
      this.#wake()
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => void (this.#stderr += text))
  }

  static lean(options: LeanNodeOptions, { home, wrap = [], onLine = () => undefined }: StartInit): NodeProcess {
    const child = spawn('env', [...wrap, process.execPath, LEAN_NODE, JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment(home),
    })
    return new NodeProcess(child, child.stdout, onLine)
  }

  /** The daemon of `nzcore up`: the same program with the same arguments and descriptors. Needs a build. */
  static daemon(settings: readonly string[], { home, wrap = [], onLine = () => undefined }: StartInit): NodeProcess {
    const flags = ['network.listen=/ip4/127.0.0.1/tcp/0', ...settings].flatMap((setting) => ['--set', setting])
    const node = [process.execPath, '--max-semi-space-size=1', LAUNCHER, '__daemon', ...flags]
    const child = spawn('env', [...wrap, ...node], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      env: environment(home),
    })
    return new NodeProcess(child, child.stdio[3] as Readable, onLine)
  }

  /** The first line that fits. @throws Error with all it said when it ends or takes more than a minute */
  async line(pattern: RegExp): Promise<string> {
    const limit = AbortSignal.timeout(START_TIMEOUT_MS)
    for (let at = 0; ; at++) {
      while (at >= this.lines.length) {
        if (this.#hasEnded || limit.aborted)
          throw new Error(`no ${String(pattern)}: ${this.lines.join('\n')}${this.#stderr}`)
        const { promise, resolve } = Promise.withResolvers<void>()
        this.#wake = resolve
        limit.addEventListener('abort', () => resolve(), { once: true })
        await promise
      }
      const line = this.lines[at] ?? ''
      if (pattern.test(line)) return line
    }
  }

  /** As a crash would: no chance to clean up. Resolves when the process is gone. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.ended
  }

  async stop(): Promise<{ readonly code: number | null; readonly signal: string | null }> {
    this.child.kill('SIGTERM')
    return await this.ended
  }
}

function environment(home: string): Record<string, string> {
  const cache = process.env['NODE_COMPILE_CACHE'] ?? join(home, '..', 'compiled')
  return { PATH: process.env['PATH'] ?? '', HOME: home, NZ_HOME: home, NODE_COMPILE_CACHE: cache }
}
