/** For shells and scripts: completion, and waiting for a peer. */
import { isNzError, sleep, systemClock } from '../../kernel/index.ts'
import { completionScripts } from '../completion-scripts.ts'
import { cliErrors } from '../errors.ts'
import { durationOption } from '../option-values.ts'
import { escapeText, formatDuration } from '../text.ts'
import type { CliContext, CommandInput, CommandSpec, Presenters } from '../command.ts'
import type { NodeStatus } from '../status-text.ts'

const DEFAULT_TIMEOUT_MS = 30_000
const POLL_MS = 100
/** The shortest part of an id that names a peer. */
const MIN_PREFIX_LENGTH = 6

export const shellPresenters: Presenters = {}

export const shellCommands: readonly CommandSpec[] = [
  {
    words: ['completion'],
    summary: 'Print the completion script of a shell',
    args: [{ name: 'shell', summary: Object.keys(completionScripts).join(' | '), isRequired: true }],
    schemaNames: ['nz.completion/1'],
    async run({ output }, { args }) {
      const shell = args['shell'] ?? ''
      const found = Object.hasOwn(completionScripts, shell) ? completionScripts[shell] : undefined
      if (found === undefined) {
        throw cliErrors.NZ_CLI_USAGE({ why: `<shell> is one of ${Object.keys(completionScripts).join(', ')}` })
      }
      output.answer('nz.completion/1', { shell, ...found }, () => found.script)
    },
  },
  {
    words: ['wait'],
    summary: 'Wait until the node is ready, or until a peer is connected',
    options: [
      { flags: '--peer <peer>', summary: 'name or id of the peer' },
      { flags: '--direct', summary: 'not by a relay' },
      { flags: '--timeout <duration>', summary: 'how long to wait (default: 30s)' },
    ],
    schemaNames: ['nz.wait/1'],
    run: wait,
  },
]

async function wait(context: CliContext, input: CommandInput): Promise<void> {
  const { output, signal } = context
  const timeoutMs = durationOption(input, 'timeout') ?? DEFAULT_TIMEOUT_MS
  const peer = input.options['peer']
  const isDirect = input.options['direct'] === true
  const startedAtMs = systemClock.monotonicMs()
  for (;;) {
    const met = await look(context, typeof peer === 'string' ? peer : null, isDirect)
    const waitedMs = Math.round(systemClock.monotonicMs() - startedAtMs)
    if (met !== null) {
      output.answer('nz.wait/1', { ...met, waitedMs }, () => `✔ ${waitText(met)} after ${formatDuration(waitedMs)}`)
      return
    }
    if (waitedMs >= timeoutMs) throw cliErrors.NZ_CLI_WAIT_OVER({ data: { timeoutMs, peer: peer ?? null } })
    await sleep(systemClock, Math.min(POLL_MS, timeoutMs), { signal })
  }
}

interface Met {
  readonly peerId: string | null
  readonly name: string | null
  readonly transport: string | null
}

/** `null` while it is not so. */
async function look(context: CliContext, reference: string | null, isDirect: boolean): Promise<Met | null> {
  const { client, signal } = context
  let status: NodeStatus
  try {
    status = await (await client()).nodeStatus({}, { signal })
  } catch (error) {
    if (isNzError(error, 'NZ_IPC_NOT_RUNNING')) return null
    throw error
  }
  if (reference === null) return { peerId: null, name: null, transport: null }
  const peer = status.peers.find((each) => isNamed(each, reference))
  if (peer?.state !== 'connected' || (isDirect && peer.transport === 'relay')) return null
  return { peerId: peer.peerId, name: peer.name, transport: peer.transport }
}

function isNamed({ peerId, id, name }: NodeStatus['peers'][number], reference: string): boolean {
  if (name === reference) return true
  return [peerId, id].some(
    (each) => each === reference || (reference.length >= MIN_PREFIX_LENGTH && each?.startsWith(reference) === true),
  )
}

function waitText({ peerId, name, transport }: Met): string {
  return peerId === null ? 'node ready' : `${escapeText(name ?? peerId)} connected by ${transport ?? 'an unknown path'}`
}
