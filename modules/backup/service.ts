/** What others may know of `backup`: archives of everything durable, and the way back. spec/NZ-BACKUP-01.md. */
import { z } from 'zod'
import { defineErrors, defineEvents, defineService } from '../../kernel/index.ts'

export { archiveErrors } from '../../protocols/backup/errors.ts'

export interface BackupService {
  /** What every archive of this node is encrypted to: `age1…`, the public half of the recovery key. */
  readonly recipient: string
  /**
   * Writes one archive to the target: what changed since the last one, or everything when `isFull` or when there is
   * none to go on from. The node goes on working; the archive is of one moment.
   *
   * @throws NZ_BACKUP_NO_TARGET, NZ_BACKUP_BUSY, NZ_BACKUP_TARGET_FAILED, NZ_BACKUP_TARGET_LATE, and what parts throw
   */
  create(options: { readonly isFull?: boolean; readonly signal: AbortSignal }): Promise<BackupEntry>
  /** The archives this node has written and not pruned, oldest first. */
  list(): Promise<readonly BackupEntry[]>
  schedule(): Promise<BackupSchedule>
  /** Removes from the folder what the rules no longer keep; the names of the files. @throws NZ_BACKUP_TARGET_FAILED */
  prune(options: { readonly signal: AbortSignal }): Promise<readonly string[]>
}

/** One archive that was written. */
export interface BackupEntry {
  /** 32 hex digits. */
  readonly id: string
  /** Name of the file, in the folder or as the command was told it. */
  readonly name: string
  readonly kind: 'full' | 'incremental'
  readonly createdAtMs: number
  /** Id of the archive this one goes on from. */
  readonly parent: string | null
  readonly bytes: number
  /** Of the file. */
  readonly sha256: string
  readonly target: 'folder' | 'command'
  /** Digest of each part's content at that moment. */
  readonly roots: readonly PartRoot[]
}

export interface PartRoot {
  readonly name: string
  readonly root: string
}

export interface BackupSchedule {
  /** 0: only when asked. */
  readonly intervalMs: number
  readonly nextAtMs: number | null
  readonly lastAtMs: number | null
  readonly lastFailure: { readonly atMs: number; readonly code: string; readonly why: string } | null
  /** The folder, or the command's words; `null` when none is set. */
  readonly target:
    | { readonly kind: 'folder'; readonly folder: string }
    | { readonly kind: 'command'; readonly command: readonly string[] }
    | null
  readonly keep: KeepRules
  /** Who can open the archives, this node's own recovery key first. */
  readonly recipients: readonly string[]
}

/** How many archives stay: the newest ones, and the newest of each of so many days, weeks and months. */
export interface KeepRules {
  readonly last: number
  readonly daily: number
  readonly weekly: number
  readonly monthly: number
}

export const BackupService = defineService<BackupService>('backup')

/** The way back. For a node of its own, that nothing else uses meanwhile. */
export interface RestoreService {
  /**
   * The archives in `folder` that lead to the newest one, or to the one whose id begins with `at`: a full one and its
   * incrementals, in order. Reads every file's head.
   *
   * @throws NZ_BACKUP_NO_ARCHIVE, NZ_BACKUP_NOT_OURS, NZ_BACKUP_CHAIN_BROKEN, NZ_BACKUP_ARCHIVE_DAMAGED
   */
  chainIn(
    folder: string,
    options: { readonly at?: string; readonly signal: AbortSignal },
  ): Promise<readonly ChainLink[]>
  /**
   * Proves every archive of `chain` and only then puts their contents into this node, which is empty.
   *
   * @throws NZ_BACKUP_ARCHIVE_DAMAGED, NZ_BACKUP_NOT_OURS, NZ_BACKUP_CHAIN_BROKEN, NZ_BACKUP_PART_UNKNOWN
   */
  restore(chain: readonly ChainLink[], options: { readonly signal: AbortSignal }): Promise<RestoreReport>
  /** Digest of each part's content as it is now. */
  roots(options: { readonly signal: AbortSignal }): Promise<readonly PartRoot[]>
}

export interface ChainLink {
  readonly path: string
  readonly id: string
  readonly createdAtMs: number
  readonly parent: { readonly id: string; readonly sha256: string } | null
}

export interface RestoreReport {
  /** Whose home it is: `nz1…` and libp2p peer id. */
  readonly id: string
  readonly peerId: string
  readonly archives: number
  readonly items: number
  readonly bytes: number
  /** Moment of the last archive. */
  readonly asOfMs: number
  /** What the last archive says the content's digests are. */
  readonly roots: readonly PartRoot[]
}

export const RestoreService = defineService<RestoreService>('restore')

export const backupEvents = defineEvents('backup', {
  created: z.strictObject({ id: z.string(), kind: z.enum(['full', 'incremental']), bytes: z.number().int() }),
  failed: z.strictObject({ code: z.string(), why: z.string() }),
  pruned: z.strictObject({ names: z.array(z.string()) }),
})

export const backupErrors = defineErrors({
  NZ_BACKUP_NO_TARGET: {
    message: 'nothing says where backups go',
    fix: [
      'nzcore config set backup.folder <folder>',
      'nzcore config set backup.command \'["<program>", "<argument>"]\'',
    ],
    status: 409,
    exit: 'failed',
    retryable: false,
  },
  NZ_BACKUP_BUSY: {
    message: 'a backup is under way',
    fix: ['wait until it is done: nzcore backup list'],
    status: 409,
    exit: 'conflict',
    retryable: true,
  },
  NZ_BACKUP_TARGET_FAILED: {
    message: 'the backup cannot be written to its target',
    fix: ['check that the folder is there and has room, or run the command by hand', 'nzcore backup schedule'],
    status: 507,
    exit: 'failed',
    retryable: true,
  },
  NZ_BACKUP_TARGET_LATE: {
    message: 'the command that takes the backup did not end in time',
    fix: ['nzcore config set backup.commandTimeoutMs <more>'],
    status: 504,
    exit: 'timedOut',
    retryable: true,
  },
  NZ_BACKUP_OVERDUE: {
    message: 'no backup was made when one was due',
    fix: ['nzcore backup create', 'nzcore backup schedule'],
    status: 500,
    exit: 'degraded',
    retryable: true,
  },
  NZ_BACKUP_NO_ARCHIVE: {
    message: 'there is no such archive',
    fix: ['name the folder that holds the archives, files that end in .age', 'nzcore backup list'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
  NZ_BACKUP_CHAIN_BROKEN: {
    message: 'an archive that others go on from is missing or is another one',
    fix: ['bring the missing file back into the folder', 'nzcore backup restore --at <archive before it> <folder>'],
    status: 422,
    exit: 'damaged',
    retryable: false,
  },
  NZ_BACKUP_PART_UNKNOWN: {
    message: 'the archive holds something this version of nzcore does not know',
    fix: ['update nzcore on this machine'],
    status: 501,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_BACKUP_ROOT_WRONG: {
    message: 'what was restored is not what was backed up',
    fix: ['nzcore backup restore --at <archive before it> <folder>', 'keep the archives: this is a fault of nzcore'],
    status: 500,
    exit: 'damaged',
    retryable: false,
  },
  NZ_BACKUP_NODE_UNWELL: {
    message: 'the node that was started on the restored home is not well',
    fix: [
      'nzcore explain <code>, for each module named',
      'nzcore doctor: is the node that was backed up well?',
      'nzcore backup verify --at <archive before it>',
    ],
    status: 500,
    exit: 'damaged',
    retryable: false,
  },
  NZ_BACKUP_HOME_IN_USE: {
    message: 'this profile already has an identity or data',
    fix: ['nzcore --profile <other> backup restore …', 'nzcore backup restore --force-new-home … sets it aside'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_BACKUP_WORDS_MISSING: {
    message: 'the 24 words are needed, and nothing gives them',
    fix: ['run it on a terminal', 'NZ_WORDS_FILE=<file only you may read> nzcore backup restore …'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_BACKUP_WORDS_OTHER: {
    message: 'these are the words of another identity',
    fix: ['check the paper against nzcore id', 'nzcore identity phrase shows the words of this one'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
})
