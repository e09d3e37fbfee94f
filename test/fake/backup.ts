/** Nodes that hold what a backup holds, in this process and on real disks. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kernel } from '../../kernel/index.ts'
import backupModule from '../../modules/backup/index.ts'
import { BackupService, RestoreService } from '../../modules/backup/service.ts'
import eventlogModule from '../../modules/eventlog/index.ts'
import { EventLogService } from '../../modules/eventlog/service.ts'
import filesModule from '../../modules/files/index.ts'
import { FilesService } from '../../modules/files/service.ts'
import homeModule from '../../modules/home/index.ts'
import { createIdentityAdmin, identityModule } from '../../modules/identity/index.ts'
import { IdentityService } from '../../modules/identity/service.ts'
import storageModule from '../../modules/storage/index.ts'
import { StorageService } from '../../modules/storage/service.ts'
import { homeOf } from '../../protocols/ipc/home.ts'
import type { Logger } from '../../kernel/index.ts'
import type { Home } from '../../protocols/ipc/home.ts'

export interface BackupNode extends AsyncDisposable {
  readonly home: Home
  readonly backup: BackupService
  readonly restore: RestoreService
  readonly storage: StorageService
  readonly files: FilesService
  readonly eventLog: EventLogService
  readonly peerId: string
  /** A copy, which the caller zeroes if it cares. */
  phrase(): Promise<Uint8Array>
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/** A folder for one test; removed by its disposal. */
export async function backupFolder(): Promise<{ readonly dir: string } & AsyncDisposable> {
  const dir = await mkdtemp(join(tmpdir(), 'nz-backup-'))
  return { dir, [Symbol.asyncDispose]: async () => await rm(dir, { recursive: true, force: true }) }
}

export function homeBelow(dir: string): Home {
  return homeOf({ env: { NZ_HOME: dir, HOME: dir } })
}

/** The node of the home below `dir`; disposing of it stops it. `config` is that of the module `backup`. */
export async function backupNode(dir: string, config: object = {}): Promise<BackupNode> {
  const home = homeBelow(dir)
  await mkdir(home.stateDir, { recursive: true, mode: 0o700 })
  const kernel = new Kernel({
    modules: [homeModule, identityModule(), storageModule, filesModule, eventlogModule, backupModule],
    config: { home, backup: config },
    log: silent,
  })
  await kernel.start()
  return {
    home,
    backup: kernel.get(BackupService),
    restore: kernel.get(RestoreService),
    storage: kernel.get(StorageService),
    files: kernel.get(FilesService),
    eventLog: kernel.get(EventLogService),
    peerId: kernel.get(IdentityService).self.peerId,
    phrase: async () => await createIdentityAdmin({ home, passphrase: async () => null }).phrase(),
    [Symbol.asyncDispose]: async () => await kernel.stop(),
  }
}
