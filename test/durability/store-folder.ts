/** The store of a home that no node runs, opened in this process with the keys of its identity. */
import { join } from 'node:path'
import { createIdentityAdmin } from '../../modules/identity/admin.ts'
import { LevelEngine } from '../../modules/storage/level-engine.ts'
import { StateFiles } from '../../modules/home/state-files.ts'
import { homeOf } from '../../protocols/ipc/home.ts'
import { openStore } from '../fake/storage.ts'
import type { Storage } from '../../modules/storage/storage.ts'

/** The root key of the store of a node, from its identity. */
export async function storeRootOf(home: string): Promise<Uint8Array> {
  const admin = createIdentityAdmin({
    home: homeOf({ env: { NZ_HOME: home } }),
    passphrase: async () => await Promise.resolve(null),
  })
  using identity = await admin.unlock()
  return identity.deriveKey('nzcore/storage/1')
}

/** As the node would open it: whatever is wrong is in its status. `close` it. */
export async function openStoreOf(home: string, root: Uint8Array): Promise<Storage> {
  const { stateDir } = homeOf({ env: { NZ_HOME: home } })
  return await openStore({
    root,
    disk: { engine: new LevelEngine(join(stateDir, 'store')), state: new StateFiles(stateDir) },
  })
}
