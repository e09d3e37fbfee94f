/** Archives of everything durable, made while the node works, and the way back from them. */
import { defineModule } from '../../kernel/index.ts'
import { EventLogService } from '../eventlog/service.ts'
import { FilesService } from '../files/service.ts'
import { HomeService } from '../home/service.ts'
import { IdentityService } from '../identity/service.ts'
import { StorageService } from '../storage/service.ts'
import { Backups } from './backups.ts'
import { Catalogue } from './catalogue.ts'
import { backupConfig } from './config.ts'
import { ConfigBackupPart } from './config-part.ts'
import { recoveryKeyOf } from './recovery-key.ts'
import { Restore } from './restore.ts'
import { Scheduler } from './scheduler.ts'
import { backupEvents, BackupService, RestoreService } from './service.ts'
import type { BackupPart } from '../../protocols/backup/part.ts'

export { IsolatedNetwork } from './isolated-network.ts'
export { combineShares, splitWords } from './shares.ts'
export { restoreHome, verifyBackup } from './restore-home.ts'
export type { HomeReport, RestoreComposition, UnwellModule } from './restore-home.ts'

export default defineModule({
  name: 'backup',
  config: backupConfig,
  requires: {
    home: HomeService,
    identity: IdentityService,
    storage: StorageService,
    files: FilesService,
    eventLog: EventLogService,
  },
  provides: { backup: BackupService, restore: RestoreService },
  emits: backupEvents,
  capabilities: ['backup.read', 'backup.write'],
  restart: 'permanent',

  async setup({ clock, random, events, log, scope }, { home, identity, storage, files, eventLog }, config) {
    // The store's first: what its records name must still be there when the others are opened.
    const parts: readonly BackupPart[] = [storage.backup, files.backup, eventLog.backup, new ConfigBackupPart(home)]
    const catalogue = new Catalogue(storage.namespace('backup'))
    const services = { identity, parts, catalogue, clock, random, events, log, env: process.env }
    const backups = new Backups(services, config, recoveryKeyOf(identity).publicKey)
    const scheduler = new Scheduler({ backups, clock, log })
    const stop = async (): Promise<void> => {
      await Promise.all([scheduler.stop(), backups.close()])
    }
    scope.defer(stop)
    return await Promise.resolve({
      services: { backup: backups, restore: new Restore({ identity, parts }) },
      async start() {
        scheduler.start()
        await Promise.resolve()
      },
      stop,
      async health() {
        if (!(await scheduler.isOverdue())) return { state: 'healthy' as const }
        return { state: 'degraded' as const, code: 'NZ_BACKUP_OVERDUE', why: 'the last backup is too long ago' }
      },
      async reload(changed: unknown) {
        backups.reload(backupConfig.parse(changed))
        scheduler.start()
        await Promise.resolve()
      },
    })
  },
})
