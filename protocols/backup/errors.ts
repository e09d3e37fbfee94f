/** Errors of archives and shares: what was read is not what a backup wrote, or not for this reader. */
import { defineErrors } from '../../kernel/index.ts'

export const archiveErrors = defineErrors({
  NZ_BACKUP_ARCHIVE_DAMAGED: {
    message: 'an archive of a backup is damaged, cut off or changed',
    fix: ['copy data.file again from where it was kept', 'nzcore backup restore --at <archive before it> <folder>'],
    status: 422,
    exit: 'damaged',
    retryable: false,
  },
  NZ_BACKUP_NOT_OURS: {
    message: 'the archive was made for another identity',
    fix: ['check the words against the paper', 'choose the folder that holds the backups of this identity'],
    status: 403,
    exit: 'permission',
    retryable: false,
  },
  NZ_BACKUP_VERSION_UNKNOWN: {
    message: 'the archive was written by a newer version of nzcore',
    fix: ['update nzcore on this machine'],
    status: 501,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_BACKUP_SHARE_INVALID: {
    message: 'this is not an intact share of recovery words',
    fix: ['copy the share again, whole: it begins with nzshare1'],
    status: 422,
    exit: 'damaged',
    retryable: false,
  },
  NZ_BACKUP_SHARES_MIXED: {
    message: 'the shares do not belong together',
    fix: ['use shares of one split: their set, shown by nzcore backup combine, is the same'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_BACKUP_SHARES_FEW: {
    message: 'these are too few shares',
    fix: ['ask the holders of other shares of the same set'],
    status: 422,
    exit: 'usage',
    retryable: false,
  },
})

/** `why` says what does not fit; never a word of what was read. */
export function damagedArchive(why: string): Error {
  return archiveErrors.NZ_BACKUP_ARCHIVE_DAMAGED({ why })
}
