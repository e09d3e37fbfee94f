/** `nzcore backup`: archives of the running node; and, without one, proving them and coming back from them. */
import { resolve } from 'node:path'
import { systemClock } from '../../kernel/index.ts'
import { cliErrors } from '../errors.ts'
import { escapeText, formatAge, formatBytes, formatDuration, formatTime, shortId, table } from '../text.ts'
import { NEW_PROTECTION, withBytes, withNewPassphrase } from './identity.ts'
import { areWordsGiven, givenWords, ownWords, recoveryWordsCommands, SHARES } from './recovery-words.ts'
import type { backupContract } from '../../protocols/ipc/contract/backup.ts'
import type { ResultOf } from '../../protocols/ipc/endpoint.ts'
import type { CliContext, CommandInput, CommandSpec, Option, Presenters } from '../command.ts'

type Answer<Id extends keyof typeof backupContract> = ResultOf<(typeof backupContract)[Id]>

const AT: Option = { flags: '--at <archive>', summary: 'go back to this archive: its name, or the begin of its id' }
export const backupCommands: readonly CommandSpec[] = [
  {
    words: ['backup', 'verify'],
    summary: 'Restore a backup into a home that is thrown away, start it, and compare; reaches nobody',
    args: [
      {
        name: 'folder',
        summary: 'folder of the archives; default: backup.folder',
        isRequired: false,
        completes: 'file',
      },
    ],
    options: [AT, { flags: '--words', summary: 'ask for the 24 words, to prove the paper as well' }, SHARES],
    schemaNames: ['nz.backupVerified/1'],
    run: verify,
  },
  {
    words: ['backup', 'restore'],
    summary: 'Make identity and data again from the 24 words and the archives',
    args: [{ name: 'folder', summary: 'folder of the archives', isRequired: true, completes: 'file' }],
    options: [
      AT,
      SHARES,
      { flags: '--force-new-home', summary: 'set aside what this profile has; nothing is removed' },
      ...NEW_PROTECTION,
    ],
    schemaNames: ['nz.backupRestored/1'],
    run: restore,
  },
  ...recoveryWordsCommands,
]

export const backupPresenters: Presenters = {
  backupCreate: ({ backup }: Answer<'backupCreate'>) =>
    [`✔ ${backup.kind} backup  ${backup.name}, ${formatBytes(backup.bytes)}`, 'Next: nzcore backup verify'].join('\n'),
  backupList({ backups }: Answer<'backupList'>) {
    if (backups.length === 0) return 'no backups\nNext: nzcore backup create'
    return table(
      ['ID', 'KIND', 'SIZE', 'GOES ON FROM', 'FILE'],
      backups.map(({ id, kind, bytes, parent, name }) => [
        id.slice(0, 8),
        kind,
        formatBytes(bytes),
        parent?.slice(0, 8) ?? '-',
        escapeText(name),
      ]),
    )
  },
  backupSchedule: ({ schedule }: Answer<'backupSchedule'>) => scheduleText(schedule),
  backupPrune: ({ removed }: Answer<'backupPrune'>) =>
    removed.length === 0
      ? 'every archive is kept by a rule'
      : `✔ removed ${removed.length}\n${removed.map(escapeText).join('\n')}`,
}

function scheduleText(schedule: Answer<'backupSchedule'>['schedule']): string {
  const { intervalMs, nextAtMs, lastAtMs, lastFailure, target, keep, recipients } = schedule
  const nowMs = systemClock.nowMs()
  const time = (atMs: number | null): string => (atMs === null ? 'never' : formatTime(atMs, { nowMs }))
  const where =
    target === null
      ? 'nowhere yet → nzcore config set backup.folder <folder>'
      : escapeText(target.kind === 'folder' ? target.folder : target.command.join(' '))
  return [
    `every    ${intervalMs === 0 ? 'only when asked → nzcore config set backup.intervalMs <ms>' : formatDuration(intervalMs)}`,
    `to       ${where}`,
    `last     ${time(lastAtMs)}`,
    `next     ${time(nextAtMs)}`,
    `keep     ${keep.last} newest, ${keep.daily} daily, ${keep.weekly} weekly, ${keep.monthly} monthly`,
    ...recipients.map((recipient, at) => `${at === 0 ? 'opens by ' : '         '}${recipient}`),
    ...(lastFailure === null
      ? []
      : [`! failed  ${lastFailure.code}: ${escapeText(lastFailure.why)} (${formatAge(nowMs - lastFailure.atMs)} ago)`]),
  ].join('\n')
}

async function verify(context: CliContext, { args, options, lists }: CommandInput): Promise<void> {
  makeFilesPrivate()
  const { home, env, output, signal } = context
  const { readConfig, verifyBackup } = await import('../node.ts')
  const folder = resolve(args['folder'] ?? folderOf((await readConfig({ home, env })).config.values['backup']))
  const isGiven = options['words'] === true || areWordsGiven(context, lists)
  const report = await withBytes(isGiven ? givenWords(context, lists) : ownWords(context), async (phrase) => {
    output.progress('restoring into a home that is thrown away …')
    return await verifyBackup({ home, phrase, folder, signal, ...atOf(options) })
  })
  output.progress(null)
  output.answer('nz.backupVerified/1', { ...report, folder }, () =>
    [
      `✔ proven   ${countOf(report.archives)}, ${report.items} items, as of ${new Date(report.asOfMs).toISOString()}`,
      `✔ started  ${shortId(report.id)} on the restored home, and every digest is the one of the backup`,
      table(
        ['PART', 'DIGEST'],
        report.roots.map(({ name, root }) => [name, root.slice(0, 16)]),
      ),
    ].join('\n'),
  )
}

async function restore(context: CliContext, { args, options, lists }: CommandInput): Promise<void> {
  makeFilesPrivate()
  const { home, output, signal } = context
  const folder = resolve(args['folder'] ?? '')
  const { restoreBackup } = await import('../node.ts')
  const isForced = options['forceNewHome'] === true
  const report = await withBytes(givenWords(context, lists), async (phrase) => {
    const { identity } = await context.offline({ isReadOnly: true })
    return await withNewPassphrase(context, identity, options, async (passphrase) => {
      output.progress('restoring …')
      return await restoreBackup({ home, phrase, passphrase, folder, isForced, signal, ...atOf(options) })
    })
  })
  output.progress(null)
  output.answer('nz.backupRestored/1', { ...report, stateDir: home.stateDir }, () =>
    [
      `✔ restored  ${shortId(report.id)} from ${countOf(report.archives)}, as of ${new Date(report.asOfMs).toISOString()}`,
      `  to        ${escapeText(home.stateDir)}`,
      ...(report.setAside === null ? [] : [`! set aside what was there: ${escapeText(report.setAside)}`]),
      ...(report.configBeside === null
        ? []
        : [`! the configuration here stays; the one of the backup: ${escapeText(report.configBeside)}`]),
      '! no other copy of this identity may run from now on',
      'Next: nzcore up',
    ].join('\n'),
  )
}

/** As a daemon does: LevelDB makes its files with whatever the process lets through. */
function makeFilesPrivate(): void {
  process.umask(0o077)
}

function folderOf(config: unknown): string {
  const folder = (config as { readonly folder?: string } | undefined)?.folder
  if (folder !== undefined) return folder
  throw cliErrors.NZ_CLI_USAGE({ why: 'backup.folder is not set: name the folder of the archives' })
}

function atOf(options: CommandInput['options']): { readonly at?: string } {
  const at = options['at']
  return typeof at === 'string' ? { at } : {}
}

function countOf(archives: number): string {
  return archives === 1 ? '1 archive' : `${archives} archives`
}
