/** Handlers of the group `storage`: the owner's records are the namespace `kv` of the store. */
import type { storageContract } from '../../../protocols/ipc/contract/storage.ts'
import type { Handlers, ResultOf } from '../../../protocols/ipc/endpoint.ts'
import { storageErrors } from '../../storage/service.ts'
import type { StorageService, StorageStatus } from '../../storage/service.ts'

const DAY_MS = 86_400_000

export function storageHandlers({ storage }: { readonly storage: StorageService }): Handlers<typeof storageContract> {
  const kv = storage.namespace('kv')
  return {
    async kvGet({ key }) {
      const value = await kv.get(key)
      if (value === null) throw storageErrors.NZ_STORAGE_NOT_FOUND({ data: { key } })
      return { record: { key, ...written(value) } }
    },
    async kvPut({ key, value, encoding, ttlMs }) {
      const bytes = Buffer.from(value, encoding === 'text' ? 'utf8' : 'base64')
      await kv.put(key, bytes, ttlMs === undefined ? {} : { ttlMs })
      return { key, bytes: bytes.byteLength }
    },
    kvDelete: async ({ key }) => ({ key, existed: await kv.delete(key) }),
    async kvList({ prefix, after, limit }) {
      const records: { key: string; bytes: number }[] = []
      const range = { ...(prefix === undefined ? {} : { prefix }), ...(after === undefined ? {} : { after }) }
      const keys = kv.range({ ...range, limit })
      for await (const { key, value } of keys) records.push({ key, bytes: value.byteLength })
      const last = records.at(-1)
      return { records, hasMore: last !== undefined && records.length === limit && (await hasMore(last.key)) }

      async function hasMore(key: string): Promise<boolean> {
        for await (const _ of kv.range({ ...range, after: key, limit: 1 })) return true
        return false
      }
    },
    async *kvWatch({ after }, { signal }) {
      for await (const item of kv.watch({ signal, ...(after === undefined ? {} : { after }) })) {
        yield { kind: item.kind, cursor: item.cursor, key: item.kind === 'gap' ? null : item.key }
      }
    },
    storageStatus: async () => ({ storage: view(storage.status()) }),
    storageCheck: async (_, { signal }) => {
      const { damaged, ...report } = await storage.check({ signal })
      return { ...report, damaged: [...damaged] }
    },
    storageRotate: async (_, { signal }) => ({ storage: view(await storage.rotate({ signal })) }),
    storageGc: async ({ quarantined }, { signal }) =>
      await storage.gc({ signal, ...(quarantined === undefined ? {} : { quarantinedForMs: quarantined * DAY_MS }) }),
    storageRepair: async () => {
      const { reopened, ...report } = await storage.repair()
      return { ...report, reopened: [...reopened] }
    },
  }
}

function view({
  namespaces,
  ...status
}: StorageStatus): ResultOf<(typeof storageContract)['storageStatus']>['storage'] {
  return { ...status, namespaces: [...namespaces] }
}

function written(value: Uint8Array): { value: string; encoding: 'text' | 'base64' } {
  try {
    return { value: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value), encoding: 'text' }
  } catch {
    // Not UTF-8: every value can be written as base64.
    return { value: Buffer.from(value).toString('base64'), encoding: 'base64' }
  }
}
