/** The profile's folders, its small state files, and the lock that keeps a second process out. */
import { join } from 'node:path'
import { z } from 'zod'
import { defineModule } from '../../kernel/index.ts'
import { makePrivateFolder, removeLeftovers } from './private-folder.ts'
import { lockProfile } from './profile-lock.ts'
import { HomeService } from './service.ts'
import { StateFiles } from './state-files.ts'

export { runningHolder } from './profile-lock.ts'

/** In the state folder. */
export const LOCK_FILE = 'lock'

const path = z.string().min(1).meta({ isInternal: true })

export default defineModule({
  name: 'home',
  config: z.strictObject({
    profile: path.describe('name of the profile this process runs'),
    configFile: path.describe('path of the configuration file'),
    stateDir: path.describe('folder of the state of this profile'),
    keyFile: path.describe('path of the key file of an unattended node'),
    logDir: path.describe('folder of the log files'),
    socketPath: path.describe('path of the local API'),
  }),
  requires: {},
  provides: { home: HomeService },
  emits: {},
  capabilities: [],
  restart: 'essential',

  async setup({ clock, scope }, _services, paths) {
    await makePrivateFolder(paths.stateDir)
    const lock = await lockProfile(join(paths.stateDir, LOCK_FILE))
    scope.defer(async () => await lock.release())
    await removeLeftovers(paths.stateDir, clock.nowMs())
    const files = new StateFiles(paths.stateDir)
    const service: HomeService = {
      paths,
      read: async (name) => await files.read(name),
      write: async (name, bytes) => await files.write(name, bytes),
      remove: async (name) => await files.remove(name),
    }
    return { services: { home: service } }
  },
})
