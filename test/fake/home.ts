/** A profile's state files in memory. */
import type { HomeService } from '../../modules/home/service.ts'

export interface MemoryHome extends HomeService {
  readonly files: Map<string, Uint8Array>
}

/** `files` is shared between the homes of one node before and after a restart. */
export function memoryHome(files: Map<string, Uint8Array> = new Map()): MemoryHome {
  return {
    files,
    paths: {
      profile: 'test',
      configFile: '/nowhere/config.toml',
      stateDir: '/nowhere/state',
      keyFile: '/nowhere/keys/test.key',
      logDir: '/nowhere/log',
      socketPath: '/nowhere/run/test.sock',
    },
    read: async (name) => files.get(name)?.slice() ?? null,
    write: async (name, bytes) => {
      files.set(name, bytes.slice())
    },
    remove: async (name) => {
      files.delete(name)
    },
  }
}
