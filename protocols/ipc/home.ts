/**
 * Where a profile of this user keeps its files and its socket: pure, so that daemon, CLI and SDK agree.
 *
 * `NZ_HOME` puts everything below one folder; else the XDG base directories are used.
 */
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'

/** Absolute paths of one profile. */
export interface Home {
  readonly profile: string
  /** One TOML file, shared by the profiles of the user; a profile may have its own section file beside it. */
  readonly configFile: string
  /** State of this profile, 0700. */
  readonly stateDir: string
  /** The unattended node's key file, kept apart from the state so that a copy of the state opens nothing. */
  readonly keyFile: string
  readonly logDir: string
  /** Unix socket (named pipe on Windows) of the local API. */
  readonly socketPath: string
}

export interface HomeInit {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Default: `NZ_PROFILE`, else `default`. Letters, digits, `-`, `_`; at most 32 (`isProfileName`). */
  readonly profile?: string
  readonly platform?: NodeJS.Platform
  /** Default: the user's home directory. */
  readonly userHome?: string
  readonly temporaryDir?: string
  readonly uid?: number
}

/** The longest path a Unix socket may have: `sun_path` is 108 bytes on Linux and 104 on macOS, with its final zero. */
export const MAX_SOCKET_PATH_BYTES = 103

export const PROFILE_NAME_RULE = 'letters, digits, - and _, at most 32, the first a letter or digit; not run'

/** `run` is refused as well: without XDG_RUNTIME_DIR the sockets of all profiles lie in a folder of that name. */
export function isProfileName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/.test(name) && name.toLowerCase() !== 'run'
}

export function homeOf({
  env,
  profile = env['NZ_PROFILE'] ?? 'default',
  platform = process.platform,
  userHome = env['HOME'] ?? homedir(),
  temporaryDir = tmpdir(),
  uid = process.getuid?.() ?? 0,
}: HomeInit): Home {
  const root = env['NZ_HOME']
  const configDir = root ?? join(env['XDG_CONFIG_HOME'] ?? join(userHome, '.config'), 'nzcore')
  const stateRoot =
    root === undefined
      ? join(env['XDG_STATE_HOME'] ?? join(userHome, '.local', 'state'), 'nzcore')
      : join(root, 'state')
  const stateDir = join(stateRoot, profile)
  const runtimeDir =
    root !== undefined
      ? join(root, 'run')
      : env['XDG_RUNTIME_DIR'] !== undefined
        ? join(env['XDG_RUNTIME_DIR'], 'nzcore')
        : join(stateRoot, 'run')
  return {
    profile,
    configFile: join(configDir, 'config.toml'),
    stateDir,
    keyFile: join(configDir, 'keys', `${profile}.key`),
    logDir: join(stateDir, 'log'),
    socketPath: socketPathOf(join(runtimeDir, `${profile}.sock`), { platform, temporaryDir, uid }),
  }
}

function socketPathOf(
  wanted: string,
  { platform, temporaryDir, uid }: { platform: NodeJS.Platform; temporaryDir: string; uid: number },
): string {
  if (platform !== 'win32' && Buffer.byteLength(wanted) <= MAX_SOCKET_PATH_BYTES) return wanted
  // Loaded for the few who need it: an import costs every command of the command line 8 ms.
  const { createHash } = process.getBuiltinModule('node:crypto')
  const digest = createHash('sha256').update(wanted).digest('hex').slice(0, 16)
  if (platform === 'win32') return `\\\\.\\pipe\\nzcore-${digest}`
  return join(temporaryDir, `nzcore-${uid}`, `${digest}.sock`)
}
