/** Handlers of the group `logs`. */
import type { logsContract } from '../../../protocols/ipc/contract/logs.ts'
import type { Handlers } from '../../../protocols/ipc/endpoint.ts'
import type { LogsService } from '../../logs/service.ts'

export function logsHandlers({ logs }: { readonly logs: LogsService }): Handlers<typeof logsContract> {
  return {
    async logsRecent({ limit, level }) {
      return {
        records: logs.recent({ limit, level }).map(({ fields, ...record }) => ({ ...record, fields: { ...fields } })),
      }
    },
    async *logsFollow({ afterId, level }, { signal }) {
      for await (const item of logs.follow({ signal, level, ...(afterId === undefined ? {} : { afterId }) })) {
        if ('missed' in item) yield { kind: 'gap', ...item }
        else yield { kind: 'record', ...item, fields: { ...item.fields } }
      }
    },
  }
}
