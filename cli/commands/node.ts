/** The node as a process: up, down, status. */
import { deadline, isErrno, isNzError, sleep, systemClock } from '../../kernel/index.ts'
import { ipcErrors } from '../../protocols/ipc/errors.ts'
import { cliErrors } from '../errors.ts'
import { durationOption } from '../option-values.ts'
import type { CliContext, CommandInput, CommandSpec, Presenters } from '../command.ts'
import type { NodeStatus } from '../status-text.ts'

const DEFAULT_WAIT_MS = 30_000
const STOP_WAIT_MS = 15_000
/** A node that works answers within milliseconds. */
const ANSWER_TIMEOUT_MS = 10_000
const POLL_MS = 20

export const nodePresenters: Presenters = {}

const set = { flags: '--set <key=value>', summary: 'a setting for this run; may be repeated', isRepeatable: true }

export const nodeCommands: readonly CommandSpec[] = [
  {
    words: ['up'],
    summary: 'Start the node in the background, or show the one that runs',
    options: [
      { flags: '-f, --foreground', summary: 'run the node in this process until Ctrl-C or SIGTERM' },
      { flags: '--wait <duration>', summary: 'how long to wait until it is ready (default: 30s)' },
      set,
    ],
    schemaNames: ['nz.up/1'],
    endsOnInterrupt: true,
    async run(context, input) {
      if (input.options['foreground'] !== true) return await up(context, input)
      const { runForeground } = await import('../daemon-process.ts')
      await runForeground(context, input.lists['set'] ?? [])
    },
  },
  {
    words: ['__daemon'],
    summary: 'Run the node for the process that has started it',
    options: [set],
    schemaNames: [],
    endsOnInterrupt: true,
    async run(context, input) {
      const { runForParent } = await import('../daemon-process.ts')
      await runForParent(context, input.lists['set'] ?? [])
    },
  },
  {
    words: ['down'],
    summary: 'Stop the node and wait until it has stopped',
    options: [{ flags: '--force', summary: 'end its process when it does not stop by itself' }],
    schemaNames: ['nz.stopped/1'],
    async run(context, { options }) {
      if (options['force'] !== true) return await down(context)
      const { endNode } = await import('../end-node.ts')
      const pid = await endNode(context)
      const document = { wasRunning: pid !== null, pid }
      context.output.answer('nz.stopped/1', document, () => (pid === null ? '✔ not running' : `✔ stopped  pid ${pid}`))
    },
  },
  {
    words: ['status'],
    summary: 'Show how the node and its connections are',
    options: [{ flags: '--full', summary: 'whole ids and addresses, and every module' }],
    schemaNames: ['nz.status/1'],
    async run({ client, output, signal }, { options }) {
      const status = await statusWithin({ client, signal })
      const { isDegraded, statusText } = await import('../status-text.ts')
      const view = { isFull: options['full'] === true, nowMs: systemClock.nowMs() }
      output.answer('nz.status/1', status, () => statusText(status, view))
      return isDegraded(status) ? 'degraded' : 'ok'
    },
  },
]

async function up(context: CliContext, input: CommandInput): Promise<void> {
  const waitMs = durationOption(input, 'wait') ?? DEFAULT_WAIT_MS
  const startedAtMs = systemClock.monotonicMs()
  let status = await statusOrNull(context)
  let ready = null
  if (status === null) {
    const { startDaemon } = await import('../start-daemon.ts')
    ready = await startDaemon(context, { flags: input.lists['set'] ?? [], waitMs })
    while (status === null) {
      status = await statusOrNull(context)
      if (status !== null) break
      if (systemClock.monotonicMs() - startedAtMs > waitMs) throw cliErrors.NZ_CLI_DAEMON_SLOW({ data: { waitMs } })
      await sleep(systemClock, POLL_MS, { signal: context.signal })
    }
  }
  const { isBackedUp } = await (await context.client()).identityShow({}, { signal: context.signal })
  const document = {
    isNew: ready !== null,
    isNewIdentity: ready?.isNewIdentity ?? false,
    readyMs: ready?.readyMs ?? null,
    pid: status.pid,
    profile: status.profile,
    id: status.id,
    fingerprint: status.fingerprint,
    protection: status.protection,
    isBackedUp,
    stateDir: context.home.stateDir,
    addresses: status.addresses,
    memoryBytes: status.memoryBytes,
  }
  const { upText } = await import('../status-text.ts')
  context.output.answer('nz.up/1', document, () => upText(document, context.env['HOME'] ?? null))
}

async function down(context: CliContext): Promise<void> {
  const { output, signal } = context
  const status = await statusOrNull(context)
  if (status === null) {
    output.answer('nz.stopped/1', { wasRunning: false, pid: null }, () => '✔ not running')
    return
  }
  const { pid } = await (await context.client()).nodeStop({ reason: 'nzcore down' }, { signal })
  const startedAtMs = systemClock.monotonicMs()
  while (isAlive(pid)) {
    if (systemClock.monotonicMs() - startedAtMs > STOP_WAIT_MS) throw cliErrors.NZ_CLI_STOP_SLOW({ data: { pid } })
    await sleep(systemClock, POLL_MS, { signal })
  }
  output.answer('nz.stopped/1', { wasRunning: true, pid }, () => `✔ stopped  pid ${pid}`)
}

/** @throws NZ_IPC_NOT_RUNNING, NZ_IPC_DEADLINE when it is there and answers nothing */
async function statusWithin({ client, signal }: Pick<CliContext, 'client' | 'signal'>): Promise<NodeStatus> {
  using limit = deadline(systemClock, ANSWER_TIMEOUT_MS, { signal, reason: () => ipcErrors.NZ_IPC_DEADLINE() })
  return await (await client()).nodeStatus({}, { signal: limit.signal })
}

/** `null` when no daemon answers. */
async function statusOrNull({ client, signal }: CliContext): Promise<NodeStatus | null> {
  try {
    return await statusWithin({ client, signal })
  } catch (error) {
    if (isNzError(error, 'NZ_IPC_NOT_RUNNING')) return null
    throw error
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it is there and not ours.
    return isErrno(error, 'EPERM')
  }
}
