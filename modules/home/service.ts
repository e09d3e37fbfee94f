/** What others may know of `home`: where this profile's files are, and small durable state files. */
import { defineErrors, defineService } from '../../kernel/index.ts'
import type { Home } from '../../protocols/ipc/home.ts'

/**
 * A state file that is there from a restore until the node has heard from others what it said after the backup: before
 * that it signs nothing that goes by an order.
 */
export const RESTORED_FILE = 'restored'

export interface HomeService {
  readonly paths: Home
  /**
   * A small state file of this profile, by name (`contacts.json`); `null` when it does not exist.
   *
   * @throws NZ_HOME_UNREADABLE, NZ_HOME_MODE when others may read it, NZ_HOME_TOO_LARGE above 8 MiB
   */
  read(name: string): Promise<Uint8Array | null>
  /**
   * Replaces the file whole (0600); durable when it resolves: file and directory are fsynced. After a crash the file
   * holds the old bytes or the new ones. Writes of one name happen one after another.
   *
   * @throws NZ_HOME_UNWRITABLE
   */
  write(name: string, bytes: Uint8Array): Promise<void>
  /** Durable when it resolves; no error when the file does not exist. @throws NZ_HOME_UNWRITABLE */
  remove(name: string): Promise<void>
}

export const HomeService = defineService<HomeService>('home')

export const homeErrors = defineErrors({
  NZ_HOME_LOCKED: {
    message: 'another process runs this profile',
    fix: ['nzcore status', 'nzcore down', 'nzcore --profile <other> up'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_HOME_MODE: {
    message: 'a private file or folder may be read by others',
    fix: ['chmod go-rwx data.path, and change what may have been read'],
    status: 500,
    exit: 'permission',
    retryable: false,
  },
  NZ_HOME_OWNER: {
    message: 'the state folder belongs to another user',
    fix: ['run nzcore as the user who owns data.path', 'NZ_HOME=<another folder> nzcore up'],
    status: 500,
    exit: 'permission',
    retryable: false,
  },
  NZ_HOME_UNREADABLE: {
    message: 'a state file cannot be read',
    fix: ['check owner and mode of data.path', 'nzcore doctor'],
    status: 500,
    exit: 'permission',
    retryable: false,
  },
  NZ_HOME_UNWRITABLE: {
    message: 'a state file cannot be written',
    fix: ['free disk space or correct the permissions of data.path', 'nzcore doctor'],
    status: 507,
    exit: 'failed',
    retryable: true,
  },
  NZ_HOME_TOO_LARGE: {
    message: 'a state file is larger than it may be',
    fix: ['restore data.path from a backup'],
    status: 500,
    exit: 'damaged',
    retryable: false,
  },
})
