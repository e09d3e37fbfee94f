/** The layers a user writes: the shared file, the profile's file, the environment and the flags. */
import { dirname, join } from 'node:path'
import { environmentLayer, flagLayer } from '../../kernel/index.ts'
import { parseConfig, readConfigText } from './toml-file.ts'
import type { ConfigLayersService } from './service.ts'
import type { ConfigLayer, ConfigSource } from '../../kernel/index.ts'
import type { Home } from '../../protocols/ipc/home.ts'

export interface ConfigLayersInit {
  readonly sources: readonly ConfigSource[]
  readonly home: Pick<Home, 'configFile' | 'profile'>
  readonly env: Readonly<Record<string, string | undefined>>
  /** Each reads `network.listen=…`. */
  readonly flags: readonly string[]
}

/** Variables that name the place of the configuration instead of being part of it. */
const PLACES = ['NZ_HOME', 'NZ_PROFILE']

/** NZ_NATIVE=0, 1, epoll or stock is short for NZ_NETWORK_NATIVE, which is stronger. */
function withNative(env: ConfigLayersInit['env']): ConfigLayersInit['env'] {
  const { NZ_NATIVE: short, ...rest } = env
  if (short === undefined || short === '') return rest
  const values: Readonly<Record<string, string>> = { '0': 'off', '1': 'auto' }
  return { NZ_NETWORK_NATIVE: values[short] ?? short, ...rest }
}

export function configLayers({ sources, home, env, flags }: ConfigLayersInit): ConfigLayersService {
  const settings = Object.fromEntries(Object.entries(withNative(env)).filter(([name]) => !PLACES.includes(name)))
  return {
    async read() {
      const files = await Promise.all([home.configFile, profileConfigFile(home)].map(fileLayer))
      return [...files, environmentLayer(sources, settings), flagLayer(sources, flags)]
    },
  }
}

/** Settings of one profile alone, beside the file that all profiles share. */
export function profileConfigFile({ configFile, profile }: Pick<Home, 'configFile' | 'profile'>): string {
  return join(dirname(configFile), 'profiles', `${profile}.toml`)
}

async function fileLayer(path: string): Promise<ConfigLayer> {
  return { origin: 'file', values: parseConfig(await readConfigText(path), path) }
}
