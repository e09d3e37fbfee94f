/** Runs the command line in this process, with streams that remember and a client that a test makes up. */
import { invoke } from '../../cli/invoke.ts'
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
  const stdout = new FakeTerminal({ isTty })
  const stderr = new FakeTerminal({ isTty })
  const code = await invoke({
    argv,
    env,
    signal,
    stdout,
    stderr,
    isStdinTty: false,
    keyboard: () => {
      throw new Error('the command reads the keyboard')
    },
    stdin: () => {
      throw new Error('the command reads stdin')
    },
    interrupt: () => undefined,
    nowMs: () => nowMs,
    connect: async () => {
      if (client === undefined) throw ipcErrors.NZ_IPC_NOT_RUNNING()
      return client as NzClient
    },
    offline: async () => await Promise.reject(new Error('the command opens the identity')),
    ...(init.table === undefined ? {} : { table: init.table }),
    ...(init.groups === undefined ? {} : { groups: init.groups }),
  })
  return { code, stdout: stdout.text, stderr: stderr.text }
}
