/** Handlers of the group `backup`. */
import type { backupContract } from '../../../protocols/ipc/contract/backup.ts'
import type { Handlers, ResultOf } from '../../../protocols/ipc/endpoint.ts'
import type { BackupEntry, BackupService } from '../../backup/service.ts'

export function backupHandlers({ backup }: { readonly backup: BackupService }): Handlers<typeof backupContract> {
  return {
    async *backupCreate({ full }, { signal }) {
      yield { backup: view(await backup.create({ isFull: full, signal })) }
    },
    backupList: async () => ({ backups: (await backup.list()).map(view) }),
    async backupSchedule() {
      const { target, recipients, ...schedule } = await backup.schedule()
      const isCommand = target?.kind === 'command'
      return {
        schedule: {
          ...schedule,
          target: isCommand ? { kind: target.kind, command: [...target.command] } : target,
          recipients: [...recipients],
        },
      }
    },
    backupPrune: async (_, { signal }) => ({ removed: [...(await backup.prune({ signal }))] }),
  }
}

function view({ roots, ...entry }: BackupEntry): ResultOf<(typeof backupContract)['backupList']>['backups'][number] {
  return { ...entry, roots: [...roots] }
}
