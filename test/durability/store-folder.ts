/** The store of a home that no node runs, opened in this process with the keys of its identity. */
import { join } from 'node:path'
import { isNzError } from '../../kernel/index.ts'
import { createIdentityAdmin } from '../../modules/identity/admin.ts'
import { LevelEngine } from '../../modules/storage/level-engine.ts'
import { StateFiles } from '../../modules/home/state-files.ts'
import { homeOf } from '../../protocols/ipc/home.ts'
import { openStore } from '../fake/storage.ts'
import type { Engine } from '../../modules/storage/engine.ts'
import type { Storage } from '../../modules/storage/storage.ts'
import type { WritePlan } from './write-plan.ts'

/** The root key of the store of a node, from its identity. */
export async function storeRootOf(home: string): Promise<Uint8Array> {
  const admin = createIdentityAdmin({
    home: homeOf({ env: { NZ_HOME: home } }),
    passphrase: async () => await Promise.resolve(null),
  })
  using identity = await admin.unlock()
  return identity.deriveKey('nzcore/storage/1')
}

export interface OpenedStore {
  /** Whatever is wrong is in its status. `close` it. */
  readonly storage: Storage
  /** What it lies on. */
  readonly engine: Engine
}

/** As the node would open it. */
export async function openStoreOf(home: string, root: Uint8Array): Promise<OpenedStore> {
  const { stateDir } = homeOf({ env: { NZ_HOME: home } })
  const engine = new LevelEngine(join(stateDir, 'store'))
  const storage = await openStore({ root, disk: { engine, state: new StateFiles(stateDir) } })
  return { storage, engine }
}

/** What is wrong with the records of writers that follow these plans; `null` when nothing is. */
export async function lossIn(storage: Storage, namespace: string, plans: readonly WritePlan[]): Promise<string | null> {
  const { state, why } = storage.status()
  if (!['open', 'rotating'].includes(state)) return `the store is ${state}: ${why}`
  try {
    for (const plan of plans) {
      const found = new Map<string, Uint8Array>()
      const records = storage.namespace(namespace).range({ prefix: plan.prefix })
      for await (const { key, value } of records) found.set(key, value)
      const wrong = plan.fork().settle(found)
      if (wrong !== null) return wrong
    }
  } catch (error) {
    return isNzError(error) ? `${error.code} ${error.message}` : String(error)
  }
  return null
}
