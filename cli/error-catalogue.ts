/** Every error code of every module, by loading the files that define them. */
import { knownErrors } from '../kernel/index.ts'
import './errors.ts'
import type { ErrorSpec } from '../kernel/index.ts'

export async function errorCatalogue(): Promise<ReadonlyMap<string, ErrorSpec>> {
  await Promise.all([
    import('../modules/home/service.ts'),
    import('../modules/identity/service.ts'),
    import('../modules/network/service.ts'),
    import('../modules/routing/service.ts'),
    import('../modules/contacts/service.ts'),
    import('../modules/forwards/service.ts'),
    import('../modules/logs/service.ts'),
    import('../modules/config/service.ts'),
    import('../modules/doctor/service.ts'),
    import('../modules/transfers/service.ts'),
    import('../modules/storage/service.ts'),
    import('../modules/trust/service.ts'),
    import('../modules/discovery/service.ts'),
    import('../modules/channels/service.ts'),
    import('../modules/backup/service.ts'),
    import('../modules/files/service.ts'),
    import('../modules/eventlog/service.ts'),
    import('../modules/documents/service.ts'),
    import('../protocols/ipc/errors.ts'),
  ])
  return knownErrors
}
