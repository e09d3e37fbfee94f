/** Local API: archives of everything durable. Verifying and restoring need no node and are the command line's own. */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'

const count = z.number().int().min(0)
const atMs = z.number().int().describe('milliseconds since 1970')

export const PartRootView = z.strictObject({
  name: z.string().describe('part: storage, config, …'),
  root: z.string().describe('digest of its contents'),
})

export const BackupView = z.strictObject({
  id: z.string(),
  name: z.string().describe('name of the file'),
  kind: z.enum(['full', 'incremental']),
  createdAtMs: atMs,
  parent: z.string().nullable().describe('id of the archive it goes on from'),
  bytes: count,
  sha256: z.string().describe('of the file'),
  target: z.enum(['folder', 'command']),
  roots: z.array(PartRootView),
})

export const BackupScheduleView = z.strictObject({
  intervalMs: count.describe('0: only when asked'),
  nextAtMs: atMs.nullable(),
  lastAtMs: atMs.nullable(),
  lastFailure: z.strictObject({ atMs, code: z.string(), why: z.string() }).nullable(),
  target: z
    .discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('folder'), folder: z.string() }),
      z.strictObject({ kind: z.literal('command'), command: z.array(z.string()) }),
    ])
    .nullable()
    .describe('null: none is set'),
  keep: z.strictObject({ last: count, daily: count, weekly: count, monthly: count }),
  recipients: z.array(z.string()).describe('age recipients that can open the archives; the recovery words’ own first'),
})

const storeErrors = ['NZ_STORAGE_DAMAGED', 'NZ_STORAGE_UNAVAILABLE'] as const

export const backupContract = defineContract({
  backupCreate: {
    method: 'POST',
    path: '/backup/create',
    // A stream, because an archive may take longer than any call.
    kind: 'stream',
    summary: 'Write an archive of everything, or of what changed since the last one',
    command: ['backup', 'create'],
    schemaName: 'nz.backup/1',
    params: z.strictObject({
      full: z.boolean().default(false).describe('everything, also when there is an archive to go on from'),
    }),
    result: z.strictObject({ backup: BackupView }),
    capability: 'backup.write',
    errors: [
      ...storeErrors,
      'NZ_STORAGE_READ_ONLY',
      'NZ_STORAGE_QUOTA',
      'NZ_BACKUP_NO_TARGET',
      'NZ_BACKUP_BUSY',
      'NZ_BACKUP_TARGET_FAILED',
      'NZ_BACKUP_TARGET_LATE',
    ],
  },
  backupList: {
    method: 'GET',
    path: '/backup',
    kind: 'call',
    summary: 'List the archives this node has written, oldest first',
    command: ['backup', 'list'],
    schemaName: 'nz.backups/1',
    params: z.strictObject({}),
    result: z.strictObject({ backups: z.array(BackupView) }),
    capability: 'backup.read',
    errors: storeErrors,
  },
  backupSchedule: {
    method: 'GET',
    path: '/backup/schedule',
    kind: 'call',
    summary: 'Show when backups are made, where they go and who can open them',
    command: ['backup', 'schedule'],
    schemaName: 'nz.backupSchedule/1',
    params: z.strictObject({}),
    result: z.strictObject({ schedule: BackupScheduleView }),
    capability: 'backup.read',
    errors: storeErrors,
  },
  backupPrune: {
    method: 'POST',
    path: '/backup/prune',
    kind: 'call',
    summary: 'Remove from the folder the archives that no rule keeps',
    command: ['backup', 'prune'],
    schemaName: 'nz.backupsPruned/1',
    params: z.strictObject({}),
    result: z.strictObject({ removed: z.array(z.string()).describe('names of the files') }),
    capability: 'backup.write',
    errors: [...storeErrors, 'NZ_STORAGE_READ_ONLY', 'NZ_BACKUP_NO_TARGET', 'NZ_BACKUP_TARGET_FAILED'],
  },
})
