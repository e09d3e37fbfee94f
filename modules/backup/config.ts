/** The configuration of backups. */
import { isAbsolute } from 'node:path'
import { z } from 'zod'
import { MAX_RECIPIENTS } from '../../protocols/backup/age-header.ts'
import { publicKeyOfRecipient } from '../../protocols/backup/age-recipient.ts'
import { MAX_CHAIN } from '../../protocols/backup/archive.ts'

const keep = (fallback: number, period: string) =>
  z.int().min(0).max(1_000).default(fallback).describe(`archives that are kept of the last ${period}, one of each`)

export const backupConfig = z.strictObject({
  intervalMs: z
    .int()
    .min(0)
    .max(31_536_000_000)
    .default(0)
    .describe('how often a backup is made by itself; 0: only when asked')
    .meta({ unit: 'ms' }),
  folder: z
    .string()
    .refine((path) => isAbsolute(path), 'give the whole path, from the root')
    .optional()
    .describe('folder that archives are written to'),
  command: z
    .array(z.string().min(1).max(4_096))
    .min(1)
    .max(64)
    .optional()
    .describe('program and arguments that take an archive on standard input; {name} stands for its name; no shell'),
  commandTimeoutMs: z
    .int()
    .min(1_000)
    .max(86_400_000)
    .default(3_600_000)
    .describe('how long that command may take')
    .meta({ unit: 'ms' }),
  recipients: z
    .array(z.string().refine((recipient) => publicKeyOfRecipient(recipient) !== null, 'not an age1… recipient'))
    .max(MAX_RECIPIENTS - 1)
    .default([])
    .describe('age recipients that can open the archives besides the recovery words'),
  maxIncrementals: z
    .int()
    .min(0)
    .max(MAX_CHAIN - 1)
    .default(30)
    .describe('archives of changes after which the next one is full again'),
  keepLast: z.int().min(1).max(1_000).default(7).describe('newest archives that are kept in the folder'),
  keepDaily: keep(7, 'days with a backup'),
  keepWeekly: keep(4, 'weeks with a backup'),
  keepMonthly: keep(12, 'months with a backup'),
})

export type BackupConfig = z.infer<typeof backupConfig>
