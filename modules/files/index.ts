/** Large files of the profile: encrypted, stored once, by name. */
import { join } from 'node:path'
import { z } from 'zod'
import { defineModule } from '../../kernel/index.ts'
import { HomeService } from '../home/service.ts'
import { IdentityService } from '../identity/service.ts'
import { StorageService } from '../storage/service.ts'
import { DiskFolder } from './disk-folder.ts'
import { Files } from './files.ts'
import { FileKeys } from './keys.ts'
import { FileRecords } from './records.ts'
import { filesEvents, FilesService } from './service.ts'
import type { StoreState } from './content-store.ts'
import type { Timer } from '../../kernel/index.ts'

/** In the state folder. */
const FOLDER = 'files'

const config = z.strictObject({
  maxFiles: z
    .int()
    .min(1)
    .max(400_000)
    .default(50_000)
    .describe('stored files, by name; each takes up to two records of the store (storage.maxNamespaceRecords)'),
  maxBytes: z
    .int()
    .min(1)
    .max(2 ** 50)
    .default(107_374_182_400)
    .describe('bytes of the disk that stored files may take')
    .meta({ unit: 'bytes' }),
  upkeepIntervalMs: z
    .int()
    .min(1_000)
    .max(86_400_000)
    .default(3_600_000)
    .describe('how often what crashes have left is looked for')
    .meta({ unit: 'ms' }),
  keepUnknownMs: z
    .int()
    .min(60_000)
    .max(31_536_000_000)
    .default(86_400_000)
    .describe('how long a file of the disk that the store does not know is kept')
    .meta({ unit: 'ms' }),
})

export default defineModule({
  name: 'files',
  config,
  requires: { home: HomeService, identity: IdentityService, storage: StorageService },
  provides: { files: FilesService },
  emits: filesEvents,
  capabilities: ['blobs.read', 'blobs.write'],
  restart: 'permanent',

  async setup({ clock, random, log, events, scope }, { home, identity, storage }, options) {
    const root = identity.deriveKey('nzcore/files/1')
    let keys
    try {
      keys = new FileKeys(root)
    } finally {
      root.fill(0)
    }
    const storeState = (): StoreState => {
      const { state, quarantined } = storage.status()
      if (state !== 'open' && state !== 'rotating') return 'unsettled'
      return quarantined === 0 ? 'whole' : 'repaired'
    }
    const repaired = (): number => storage.status().repaired
    const folder = new DiskFolder(join(home.paths.stateDir, FOLDER))
    const records = new FileRecords(storage.namespace('files'))
    const files = new Files({ home, records, folder, keys, clock, random, log, events, storeState, repaired }, options)
    let timer: Timer | null = null
    const upkeep = async (): Promise<void> => {
      try {
        await files.upkeep()
      } catch (error) {
        log.warn('files.upkeepFailed', { error })
      }
      if (!scope.signal.aborted) timer = clock.setTimer(options.upkeepIntervalMs, () => void upkeep(), { unref: true })
    }
    scope.defer(async () => {
      timer?.cancel()
      await files.close()
    })
    return {
      services: { files },
      async start() {
        // A disk that refuses is no reason not to start: what needs it says so, and upkeep tries again.
        await files.open().catch((error: unknown) => log.error('files.notReady', { error }))
        void upkeep()
      },
      stop: async () => await files.close(),
      async health() {
        if (files.damaged === 0) return await Promise.resolve({ state: 'healthy' as const })
        return { state: 'degraded', code: 'NZ_FILES_DAMAGED', why: `${files.damaged} contents are damaged` }
      },
    }
  },
})
