/** Encrypted records of the profile that survive crashes: opened before all that keeps state in it. */
import { join } from 'node:path'
import { z } from 'zod'
import { defineModule } from '../../kernel/index.ts'
import { HomeService } from '../home/service.ts'
import { IdentityService } from '../identity/service.ts'
import { StoreKeys } from './keys.ts'
import { LevelEngine } from './level-engine.ts'
import { storageEvents, StorageService } from './service.ts'
import { Storage } from './storage.ts'
import { WitnessFile } from './witness-file.ts'

const config = z.strictObject({
  maxNamespaceRecords: z.int().min(1).max(1_000_000).default(200_000).describe('records one namespace may hold'),
  maxNamespaceBytes: z
    .int()
    .min(1)
    .max(17_179_869_184)
    .default(1_073_741_824)
    .describe('bytes of keys and values one namespace may hold')
    .meta({ unit: 'bytes' }),
  sweepIntervalMs: z
    .int()
    .min(1_000)
    .max(86_400_000)
    .default(60_000)
    .describe('how often records whose time is over are removed')
    .meta({ unit: 'ms' }),
  witnessIntervalMs: z
    .int()
    .min(100)
    .max(86_400_000)
    .default(5_000)
    .describe('how often a note is kept outside of the store of how far it has come')
    .meta({ unit: 'ms' }),
})

export default defineModule({
  name: 'storage',
  config,
  requires: { home: HomeService, identity: IdentityService },
  provides: { storage: StorageService },
  emits: storageEvents,
  capabilities: ['storage.read', 'storage.write'],
  restart: 'permanent',

  async setup({ clock, random, log, events, scope }, { home, identity }, options) {
    const root = identity.deriveKey('nzcore/storage/1')
    let keys
    try {
      keys = new StoreKeys(root)
    } finally {
      root.fill(0)
    }
    const engine = new LevelEngine(join(home.paths.stateDir, 'store'))
    const witness = new WitnessFile(home, keys)
    const storage = new Storage({ engine, keys, witness, clock, random, log, events, files: home }, options)
    return {
      services: { storage },
      async start() {
        scope.defer(async () => await storage.close())
        await storage.open()
      },
      stop: async () => await storage.close(),
      async health() {
        const { code, why } = storage.status()
        return await Promise.resolve(
          code === null ? { state: 'healthy' as const } : { state: 'degraded' as const, code, why: why ?? '' },
        )
      },
    }
  },
})
