/** Both implementations keep what StorageService promises. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LevelEngine } from '../../modules/storage/level-engine.ts'
import { storageCompliance } from '../compliance/storage.ts'
import { memoryDisk, openStore } from '../fake/storage.ts'

storageCompliance('in memory', async () => {
  const disk = memoryDisk()
  return await Promise.resolve({
    open: async (options) => await openStore({ disk, ...options }),
    remove: async () => await Promise.resolve(),
  })
})

storageCompliance('on disk', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'nz-store-'))
  const files = new Map<string, Uint8Array>()
  return {
    open: async (options) =>
      await openStore({ disk: { engine: new LevelEngine(join(dir, 'store')), files }, ...options }),
    remove: async () => await rm(dir, { recursive: true, force: true }),
  }
})
