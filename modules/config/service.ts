/** What others may know of `config`: the files and variables the configuration comes from. */
import { defineErrors, defineService } from '../../kernel/index.ts'
import type { ConfigLayer } from '../../kernel/index.ts'

export interface ConfigLayersService {
  /**
   * Reads the configuration files, the environment and the flags of this process anew, weakest first.
   *
   * @throws NZ_CONFIG_SYNTAX, NZ_CONFIG_UNREADABLE
   */
  read(): Promise<readonly ConfigLayer[]>
}

/** Given by the composition, which knows the environment and the flags. */
export const ConfigLayersService = defineService<ConfigLayersService>('configLayers')

export const configErrors = defineErrors({
  NZ_CONFIG_SYNTAX: {
    message: 'the configuration file is not valid TOML',
    fix: ['correct line data.line of data.path', 'nzcore config check'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_CONFIG_UNREADABLE: {
    message: 'the configuration file cannot be read',
    fix: ['check owner, mode and size of data.path'],
    status: 500,
    exit: 'permission',
    retryable: false,
  },
  NZ_CONFIG_UNWRITABLE: {
    message: 'the configuration file cannot be written',
    fix: ['free disk space or correct the permissions of data.path'],
    status: 507,
    exit: 'failed',
    retryable: true,
  },
})
