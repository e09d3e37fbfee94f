/** `nzcore send`, `listen` and `receive`: files and streams between two machines. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { isNzError, sleep, systemClock } from '../../kernel/index.ts'
import { cliErrors } from '../errors.ts'
import { durationOption } from '../option-values.ts'
import { escapeText, formatBytes, table } from '../text.ts'
import { ProgressLine } from '../transfer-progress.ts'
import type { transfersContract } from '../../protocols/ipc/contract/transfers.ts'
import type { Duplex, ResultOf } from '../../protocols/ipc/endpoint.ts'
import type { CliContext, CommandInput, CommandSpec, Presenters } from '../command.ts'

type Sent = ResultOf<(typeof transfersContract)['transfersSend']>
type Listed = ResultOf<(typeof transfersContract)['transfersList']>
type Inbox = ResultOf<(typeof transfersContract)['transfersReceive']>['inbox']
type TransferView = Sent['transfer']

/** How often a node that went away is looked for. */
const REATTACH_MS = 500

/** How long stopping may take when the command is interrupted. */
const STOP_TIMEOUT_MS = 2_000

export const transfersCommands: readonly CommandSpec[] = [
  {
    words: ['send'],
    summary: 'Send a file, or standard input, to a contact and wait for its signed receipt',
    args: [
      { name: 'peer', summary: 'name or id of a contact', isRequired: true, completes: 'peer' },
      { name: 'name', summary: 'what the receiver is told', isRequired: true },
      { name: 'file', summary: 'path, or - for standard input', isRequired: true, completes: 'file' },
    ],
    options: [{ flags: '--timeout <duration>', summary: 'how long to wait for the peer after a cut', default: '5m' }],
    schemaNames: ['nz.send/1'],
    run: async (context, input) => {
      const line = new ProgressLine(context.output, systemClock)
      try {
        const transfer = await send(context, input, line)
        line.clear()
        context.output.answer('nz.send/1', { transfer }, () => deliveredText(transfer))
      } finally {
        line.clear()
      }
    },
  },
  {
    words: ['listen'],
    summary: 'Write the bytes of one transfer of that name to standard output',
    args: [{ name: 'name', summary: 'the name that the sender gives', isRequired: true }],
    options: [{ flags: '--from <peer>', summary: 'only from this contact' }],
    schemaNames: ['nz.transfer/1'],
    run: async (context, { args, options }) => {
      const from = typeof options['from'] === 'string' ? { from: options['from'] } : {}
      const client = await context.client()
      const duplex = await client.transfersListen({ name: args['name'] ?? '', ...from }, { signal: context.signal })
      const transfer = await takeBytes(context, duplex)
      const text = `✔ received ${sizeText(transfer)} from ${escapeText(transfer.peer)}, sha256 ${short(transfer)} confirmed`
      // Standard output carries the bytes.
      context.output.note(context.output.isJson ? JSON.stringify({ schema: 'nz.transfer/1', transfer }) : text)
    },
  },
  {
    words: ['receive'],
    summary: 'Receive files of contacts into a folder, until interrupted',
    options: [
      { flags: '--to <dir>', summary: 'folder they go to', default: '.' },
      { flags: '--from <peer>', summary: 'only from this contact' },
      { flags: '--once', summary: 'end after one file' },
      { flags: '--detach', summary: 'leave it to the node; stop it with: nzcore receive stop <id>' },
    ],
    schemaNames: ['nz.received/1', 'nz.inbox/1'],
    endsOnInterrupt: true,
    run: async (context, { options }) => {
      const from = typeof options['from'] === 'string' ? { from: options['from'] } : {}
      const directory = resolve(String(options['to'] ?? '.'))
      const client = await context.client()
      const { inbox } = await client.transfersReceive(
        { directory, once: options['once'] === true, ...from },
        { signal: context.signal },
      )
      if (options['detach'] === true) {
        context.output.answer('nz.inbox/1', { inbox }, () => inboxText(inbox))
        return
      }
      context.output.note(`receiving into ${escapeText(inbox.directory)} · Ctrl-C stops`)
      try {
        await follow(context, inbox)
      } finally {
        await stopInbox(context, inbox)
      }
    },
  },
]

export const transfersPresenters: Presenters = {
  transfersList({ transfers, inboxes }: Listed) {
    const folders = inboxes.map(
      ({ id, directory, from }) =>
        `receiving into ${escapeText(directory)}${from === null ? '' : ` from ${escapeText(from)}`} (${id})`,
    )
    if (transfers.length === 0) return [...folders, 'no transfers yet'].join('\n')
    const rows = transfers.map((transfer) => [
      transfer.id.slice(0, 8),
      transfer.direction === 'sending' ? 'to' : 'from',
      transfer.peer,
      transfer.name,
      transfer.state,
      sizeText(transfer),
      transfer.receipt?.id ?? transfer.code ?? '',
    ])
    return [...folders, table(['ID', '', 'PEER', 'NAME', 'STATE', 'SIZE', 'RECEIPT'], rows)].join('\n')
  },
  transfersCancel: ({ transfer }: Sent) => `✔ cancelled ${transfer.id.slice(0, 8)} ${escapeText(transfer.name)}`,
  transfersStopInbox: ({ id }: { readonly id: string }) => `✔ stopped ${escapeText(id)}`,
}

async function send(context: CliContext, input: CommandInput, line: ProgressLine): Promise<TransferView> {
  const { args } = input
  const timeoutMs = durationOption(input, 'timeout')
  const what = { peer: args['peer'] ?? '', name: args['name'] ?? '', ...(timeoutMs === undefined ? {} : { timeoutMs }) }
  const path = args['file'] ?? '-'
  const client = await context.client()
  if (path === '-' || (await isStream(resolve(path)))) {
    const source = path === '-' ? context.stdin : (createReadStream(resolve(path)) as AsyncIterable<Uint8Array>)
    const duplex = await client.transfersSend(what, { signal: context.signal })
    return await sendBytes(duplex, source, line)
  }
  let last: TransferView | null = null
  const told = client.transfersSendFile({ ...what, path: resolve(path) }, { signal: context.signal })
  for await (const { transfer } of told) {
    last = transfer
    line.show(transfer)
  }
  return ended(context, last)
}

/** Writes the source and reads how it goes, side by side. */
async function sendBytes(
  duplex: Duplex<unknown, Sent>,
  source: AsyncIterable<Uint8Array>,
  line: ProgressLine,
): Promise<TransferView> {
  let last: TransferView | null = null
  const listen = async (): Promise<void> => {
    for (let frame = await duplex.read(); frame !== null; frame = await duplex.read()) {
      if (!('message' in frame)) continue
      last = frame.message.transfer
      line.show(last)
    }
  }
  const write = async (): Promise<never> => {
    try {
      for await (const bytes of source) await duplex.write(bytes)
    } catch (error) {
      duplex.fail(error)
      throw error
    }
    await duplex.end()
    return await new Promise<never>(() => undefined)
  }
  await Promise.race([listen(), write()])
  if (last === null) throw cliErrors.NZ_CLI_INTERRUPTED()
  return last
}

async function takeBytes(context: CliContext, duplex: Duplex<unknown, Sent>): Promise<TransferView> {
  const line = new ProgressLine(context.output, systemClock)
  let last: TransferView | null = null
  let taken = 0
  try {
    for (let frame = await duplex.read(); frame !== null; frame = await duplex.read()) {
      if ('message' in frame) {
        last = frame.message.transfer
        continue
      }
      await context.output.write(frame.bytes)
      taken += frame.bytes.byteLength
      await duplex.send({ taken })
      if (last !== null) line.show({ ...last, state: 'moving', bytes: taken })
    }
    // The last answer after its last message: only then was everything taken and receipted.
    if (last?.state === 'done') await duplex.end()
  } catch (error) {
    duplex.fail(error)
    throw error
  } finally {
    line.clear()
  }
  return ended(context, last)
}

/** Prints what arrives, also over restarts of the node, until the folder is stopped or the command interrupted. */
async function follow(context: CliContext, inbox: Inbox): Promise<void> {
  const { output, signal } = context
  const seen: string[] = []
  const line = new ProgressLine(output, systemClock)
  while (!signal.aborted) {
    try {
      const client = await context.client()
      const params = { id: inbox.id, seen: seen.slice(-1_000), sinceMs: inbox.createdAtMs }
      for await (const { type, transfer } of client.transfersWatchInbox(params, { signal })) {
        if (type === 'closed') return
        if (transfer === null) continue
        if (type === 'progress') line.show(transfer)
        else {
          line.clear()
          seen.push(transfer.id)
          output.answer('nz.received/1', { transfer }, () => receivedText(transfer))
        }
      }
    } catch (error) {
      line.clear()
      if (signal.aborted) return
      if (!isAway(error)) throw error
    }
    output.progress('waiting for the node…')
    await sleep(systemClock, REATTACH_MS, { signal }).catch(() => undefined)
  }
}

async function stopInbox(context: CliContext, { id }: Inbox): Promise<void> {
  try {
    const client = await context.client()
    await client.transfersStopInbox({ id }, { signal: AbortSignal.timeout(STOP_TIMEOUT_MS) })
  } catch (error) {
    if (!isAway(error)) throw error
    context.output.note(`! the node does not run: it receives again when it starts. Then: nzcore receive stop ${id}`)
  }
}

function isAway(error: unknown): boolean {
  return isNzError(error, 'NZ_IPC_NOT_RUNNING', 'NZ_IPC_CONNECTION_LOST', 'NZ_IPC_STOPPING')
}

async function isStream(path: string): Promise<boolean> {
  try {
    const found = await stat(path)
    return found.isFIFO() || found.isCharacterDevice()
  } catch (error) {
    // What is not there is the node's to say, with its code.
    return !(error instanceof Error)
  }
}

function ended({ signal }: CliContext, last: TransferView | null): TransferView {
  signal.throwIfAborted()
  if (last === null || last.state !== 'done') throw cliErrors.NZ_CLI_INTERRUPTED()
  return last
}

function deliveredText(transfer: TransferView): string {
  return `✔ delivered, sha256 ${short(transfer)} confirmed (receipt ${transfer.receipt?.id ?? '-'})`
}

function receivedText(transfer: TransferView): string {
  return `✔ ${escapeText(transfer.path ?? transfer.name)}  ${sizeText(transfer)} from ${escapeText(transfer.peer)}, sha256 ${short(transfer)}`
}

function inboxText({ id, directory }: Inbox): string {
  return `✔ receiving into ${escapeText(directory)}\nstop: nzcore receive stop ${id}`
}

function sizeText({ size, bytes }: TransferView): string {
  return formatBytes(size ?? bytes)
}

function short({ sha256 }: TransferView): string {
  return sha256 === null ? '-' : `${sha256.slice(0, 8)}…`
}
