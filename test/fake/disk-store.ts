/** A store on disk with its witness beside it, as a daemon has them. */
import { join } from 'node:path'
import { LevelEngine } from '../../modules/storage/level-engine.ts'
import { openStore } from './storage.ts'
import type { StateFiles } from '../../modules/home/state-files.ts'
import type { Storage } from '../../modules/storage/storage.ts'

export async function openDiskStore(dir: string, state: StateFiles): Promise<Storage> {
  return await openStore({ disk: { engine: new LevelEngine(join(dir, 'store')), state }, witnessIntervalMs: 100 })
}
