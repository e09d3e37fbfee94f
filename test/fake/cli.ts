/** Runs the command line in this process, with streams that remember and a client that a test makes up. */
import { invoke } from '../../cli/invoke.ts'
import type { InvokeInit } from '../../cli/invoke.ts'
import type { Keyboard } from '../../cli/prompt.ts'
import { ipcErrors } from '../../protocols/ipc/errors.ts'
import type { CommandEntry, CommandGroups } from '../../cli/command-table.ts'
import type { Terminal } from '../../cli/output.ts'
import type { NzClient } from '../../sdk/client.ts'

export interface CliRun {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface CliRunInit {
  /** Endpoint id → function; a call of any other endpoint fails the test. */
  readonly client?: object
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly isTty?: boolean
  readonly table?: readonly CommandEntry[]
  readonly groups?: CommandGroups
  readonly signal?: AbortSignal
  readonly nowMs?: number
  /** Opens the identity without a daemon; a command that does so unasked fails the test. */
  readonly offline?: InvokeInit['offline']
  /** Lines typed at the terminal, one for each question. */
  readonly typed?: readonly string[]
  /** What comes on standard input. */
  readonly stdin?: AsyncIterable<Uint8Array>
}

export class FakeTerminal implements Terminal {
  readonly columns = 80
  readonly isTTY: boolean
  text = ''

  constructor({ isTty }: { readonly isTty: boolean }) {
    this.isTTY = isTty
  }

  write(chunk: string | Uint8Array): boolean {
    this.text += typeof chunk === 'string' ? chunk : new TextDecoder().decode(chunk)
    return true
  }

  once(): this {
    return this
  }
}

export async function runCli(argv: readonly string[], init: CliRunInit = {}): Promise<CliRun> {
  const { client, env = {}, isTty = false, signal = new AbortController().signal, nowMs = 1_700_000_000_000 } = init
  const typed = init.typed === undefined ? undefined : keyboardOf(init.typed)
  const stdout = new FakeTerminal({ isTty })
  const stderr = new FakeTerminal({ isTty: isTty || typed !== undefined })
  const code = await invoke({
    argv,
    env,
    signal,
    stdout,
    stderr,
    isStdinTty: init.typed !== undefined,
    keyboard: () => {
      if (typed === undefined) throw new Error('the command reads the keyboard')
      return typed
    },
    stdin: () => {
      if (init.stdin === undefined) throw new Error('the command reads stdin')
      return init.stdin
    },
    interrupt: () => undefined,
    nowMs: () => nowMs,
    connect: async () => {
      if (client === undefined) throw ipcErrors.NZ_IPC_NOT_RUNNING()
      return client as NzClient
    },
    offline: init.offline ?? (async () => await Promise.reject(new Error('the command opens the identity'))),
    ...(init.table === undefined ? {} : { table: init.table }),
    ...(init.groups === undefined ? {} : { groups: init.groups }),
  })
  return { code, stdout: stdout.text, stderr: stderr.text }
}

/** Types the next line each time somebody starts to listen. */
function keyboardOf(lines: readonly string[]): Keyboard {
  const rest = [...lines]
  return {
    isTTY: true,
    setRawMode: () => undefined,
    on: (_event, listener) => {
      const line = rest.shift()
      if (line === undefined) throw new Error('the command asks more questions than were answered')
      queueMicrotask(() => listener(new TextEncoder().encode(`${line}\r`)))
    },
    off: () => undefined,
    resume: () => undefined,
    pause: () => undefined,
  }
}
