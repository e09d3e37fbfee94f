/**
 * The composition root: which modules make a node, and where their configuration and their log come from. The only
 * file that lists module indexes; used by the daemon, by commands that work without one, and by the embedded node.
 */
import { join } from 'node:path'
import { Kernel, provide, resolveConfig, systemClock } from '../kernel/index.ts'
import { changeConfig as change, configLayers, profileConfigFile } from '../modules/config/index.ts'
import { ConfigLayersService } from '../modules/config/service.ts'
import { backupErrors, RestoreService } from '../modules/backup/service.ts'
import { LOCK_FILE, runningHolder } from '../modules/home/index.ts'
import { createJournal, LOG_FILE_NAME } from '../modules/logs/index.ts'
import {
  createIdentityAdmin,
  identityModule,
  identityOfWords,
  openIdentityAdmin,
  passphraseSource,
} from '../modules/identity/index.ts'
import { identityEvents } from '../modules/identity/service.ts'
import { IpcService } from '../modules/ipc/service.ts'
import { LogsService } from '../modules/logs/service.ts'
import { NetworkService } from '../modules/network/service.ts'
import type { AnyModule, ConfigLayer, Logger, ModuleStatus, ResolvedConfig } from '../kernel/index.ts'
import type * as Backup from '../modules/backup/index.ts'
import type { HomeReport, RestoreComposition, UnwellModule } from '../modules/backup/index.ts'
import type { RestoreReport } from '../modules/backup/service.ts'
import type { Diagnosis } from '../modules/doctor/service.ts'
import type { IdentityAdmin, PassphraseSource } from '../modules/identity/service.ts'
import type { BackendChoice } from '../modules/network/service.ts'
import type { Journal, JournalInit, LogsConfig } from '../modules/logs/index.ts'
import type { Home } from '../protocols/ipc/home.ts'
import type { NzClient } from '../sdk/client.ts'
import type { ProvenExport } from '../modules/eventlog/service.ts'

/** Every module of a node. Their order does not matter; their requirements do. */
export async function nodeModules({ env }: Pick<NodeInit, 'env'>): Promise<readonly AnyModule[]> {
  const loaded = await Promise.all([
    import('../modules/home/index.ts'),
    import('../modules/logs/index.ts'),
    import('../modules/storage/index.ts'),
    import('../modules/files/index.ts'),
    import('../modules/eventlog/index.ts'),
    import('../modules/documents/index.ts'),
    import('../modules/backup/index.ts'),
    import('../modules/trust/index.ts'),
    import('../modules/channels/index.ts'),
    import('../modules/discovery/index.ts'),
    import('../modules/routing/index.ts'),
    import('../modules/network/index.ts'),
    import('../modules/contacts/index.ts'),
    import('../modules/forwards/index.ts'),
    import('../modules/transfers/index.ts'),
    import('../modules/doctor/index.ts'),
    import('../modules/ipc/index.ts'),
  ])
  const identity: AnyModule = identityModule({ passphrase: passphraseSource({ env }) })
  return [identity, ...loaded.map((module) => module.default as AnyModule)]
}

export interface NodeInit {
  readonly home: Home
  readonly env: Readonly<Record<string, string | undefined>>
  /** Settings such as `network.listen=…`, stronger than file and environment. */
  readonly flags?: readonly string[]
  /** Sees every log record that is kept. */
  readonly mirror?: JournalInit['mirror']
}

/** A node that has not started yet. */
export interface ComposedNode {
  readonly kernel: Kernel
  readonly journal: Journal
  readonly config: ResolvedConfig
  /** Whether this start has created the identity of the profile. */
  readonly isNewIdentity: () => boolean
  /** Reads files, environment and flags anew, for `KernelService.reload`. */
  readonly readLayers: () => Promise<readonly ConfigLayer[]>
}

/** @throws NZ_CONFIG_SYNTAX, NZ_CONFIG_UNREADABLE, NZ_KERNEL_CONFIG_INVALID */
export async function composeNode(init: NodeInit): Promise<ComposedNode> {
  const { home, mirror } = init
  const modules = await nodeModules(init)
  const { config, layers } = await readConfig(init, modules)
  const { level, maxFileBytes, maxFiles } = config.values['logs'] as LogsConfig
  const journal = createJournal({
    level,
    clock: systemClock,
    file: { dir: home.logDir, name: LOG_FILE_NAME, maxFileBytes, maxFiles },
    ...(mirror === undefined ? {} : { mirror }),
  })
  const services = [provide(LogsService, journal), provide(ConfigLayersService, layers)]
  const kernel = new Kernel({ modules, config, services, log: journal })
  let isNewIdentity = false
  kernel.events.on(identityEvents.created, () => void (isNewIdentity = true), { signal: new AbortController().signal })
  return {
    kernel,
    journal,
    config,
    isNewIdentity: () => isNewIdentity,
    readLayers: async () => await layers.read(),
  }
}

/** The local API of a node that runs in this process. */
export function localClient({ kernel }: ComposedNode): NzClient {
  return kernel.get(IpcService).client
}

/**
 * Whether lines are a whole export of an event log, signed by its node. Needs no node and no keys.
 *
 * @throws NZ_LOG_EXPORT_INVALID
 */
export async function checkLogExport(lines: AsyncIterable<string>): Promise<ProvenExport> {
  const { checkExport } = await import('../modules/eventlog/index.ts')
  const { verifyFor } = await import('../modules/identity/index.ts')
  return await checkExport(lines, { verify: verifyFor })
}

/** The configuration that a node started now would have. Loads no network. */
export async function readConfig(
  { home, env, flags = [] }: Pick<NodeInit, 'home' | 'env' | 'flags'>,
  modules?: readonly AnyModule[],
): Promise<{ readonly config: ResolvedConfig; readonly layers: ConfigLayersService }> {
  const sources = modules ?? (await nodeModules({ env }))
  const layers = configLayers({ sources, home, env, flags })
  return {
    config: resolveConfig({ modules: sources, layers: [compositionLayer(home), ...(await layers.read())] }),
    layers,
  }
}

/** The files the configuration of a profile is read from, weakest first. */
export function configFiles(home: Home): readonly string[] {
  return [home.configFile, profileConfigFile(home)]
}

/** Sets one key in a configuration file; a change that would not be valid is not written. */
export async function changeConfig({
  home,
  env,
  ...init
}: Pick<NodeInit, 'home' | 'env'> & Pick<Parameters<typeof change>[0], 'path' | 'text' | 'onlyProfile'>): ReturnType<
  typeof change
> {
  const sources = await nodeModules({ env })
  return await change({ sources, home, env, composition: compositionLayer(home), ...init })
}

function compositionLayer(home: Home): ConfigLayer {
  return { origin: 'composition', values: { home } }
}

export interface IdentityInit {
  readonly home: Home
  readonly env: NodeInit['env']
  /** Asks a person for the passphrase when the environment names no source of it. */
  readonly ask?: () => Promise<Uint8Array>
  /** Takes no lock. */
  readonly isReadOnly: boolean
}

/**
 * What is done to the identity of a profile while no node runs it; holds the profile's lock until it is disposed of,
 * unless `isReadOnly`.
 *
 * @throws NZ_HOME_LOCKED
 */
export async function openIdentity({
  isReadOnly,
  ...init
}: IdentityInit): Promise<{ readonly identity: IdentityAdmin } & AsyncDisposable> {
  const identity = openIdentityAdmin(init)
  if (isReadOnly) return { identity, [Symbol.asyncDispose]: async () => await Promise.resolve() }
  const { default: homeModule } = await import('../modules/home/index.ts')
  const kernel = new Kernel({ modules: [homeModule], config: { home: init.home }, log: silent })
  await kernel.start()
  return { identity, [Symbol.asyncDispose]: async () => await kernel.stop() }
}

/** What the doctor finds while no node runs this profile; changes nothing, sends nothing. */
export async function diagnose(
  { home, env }: Pick<NodeInit, 'home' | 'env'>,
  { signal }: { readonly signal: AbortSignal },
): Promise<Diagnosis> {
  const { examine } = await import('../modules/doctor/index.ts')
  const identity = openIdentityAdmin({ home, env })
  return await examine(
    {
      home,
      clock: systemClock,
      readConfig: async () => (await readConfig({ home, env })).config,
      readIdentity: async () => await identity.facts(),
      readBackend: async () => await nextBackend((await readConfig({ home, env })).config),
      node: null,
    },
    { signal },
  )
}

/** The stack the next node of this profile would have. */
async function nextBackend(config: ResolvedConfig): Promise<BackendChoice> {
  const { chooseBackend, networkConfig } = await import('../modules/network/index.ts')
  return await chooseBackend(networkConfig.parse(config.values['network']).native)
}

export { LOCK_FILE, runningHolder } from '../modules/home/index.ts'
export { entropyOf, identityOfWords, phraseOf } from '../modules/identity/index.ts'
export { passphraseSource as passphraseOf } from '../modules/identity/index.ts'

export interface RecoveryInit {
  readonly home: Home
  /** The 24 words; they stay the caller's to zero. */
  readonly phrase: Uint8Array
  /** Protects the identity on this machine; `null`: a key file does. It stays the caller's to zero. */
  readonly passphrase: Uint8Array | null
  /** Holds the archives. */
  readonly folder: string
  readonly at?: string
  readonly signal: AbortSignal
}

/** Makes a home from words and archives. @throws NZ_BACKUP_HOME_IN_USE, NZ_BACKUP_ROOT_WRONG, and what archives throw */
export async function restoreBackup({
  isForced,
  ...init
}: RecoveryInit & { readonly isForced: boolean }): Promise<HomeReport> {
  const { restoreHome } = await import('../modules/backup/index.ts')
  return await restoreHome({ ...init, composition: isolated(init), isForced, nowMs: systemClock.nowMs() })
}

/** The same into a home that is thrown away. */
export async function verifyBackup(init: Omit<RecoveryInit, 'passphrase'>): Promise<RestoreReport> {
  const { verifyBackup: verify } = await import('../modules/backup/index.ts')
  return await verify({ ...init, composition: isolated({ ...init, passphrase: null }) })
}

/** For commands, which see no module's errors. */
export function wordsMissing(why: string, cause?: unknown): Error {
  return backupErrors.NZ_BACKUP_WORDS_MISSING({ why, ...(cause === undefined ? {} : { cause }) })
}

export function otherWords(data: { readonly words: string; readonly identity: string }): Error {
  return backupErrors.NZ_BACKUP_WORDS_OTHER({ data })
}

/** Splits recovery words into shares and puts them together again. */
export async function wordShares(): Promise<Pick<typeof Backup, 'combineShares' | 'splitWords'>> {
  return await import('../modules/backup/index.ts')
}

/** Nodes that hold what a backup holds, and reach nobody. */
function isolated({ phrase, passphrase: given }: Pick<RecoveryInit, 'phrase' | 'passphrase'>): RestoreComposition {
  const passphrase = async (): Promise<Uint8Array | null> =>
    await Promise.resolve(given === null ? null : Uint8Array.from(given))
  return {
    recover: async (home) =>
      void (await createIdentityAdmin({ home, passphrase }).recover(phrase, { passphrase: await passphrase() })),
    adopt: async (home) => void (await createIdentityAdmin({ home, passphrase }).adopt()),
    async start(home) {
      const kernel = await startIsolated(home, { passphrase })
      return { restore: kernel.get(RestoreService), [Symbol.asyncDispose]: async () => await kernel.stop() }
    },
    async tryWhole(home, { signal }) {
      using identity = await identityOfWords(phrase)
      const { IsolatedNetwork } = await import('../modules/backup/index.ts')
      const network = new IsolatedNetwork(identity.self.peerId)
      const kernel = await startIsolated(home, { passphrase, network })
      try {
        return unwellModules(await kernel.checkHealth({ signal }))
      } finally {
        await kernel.stop()
      }
    },
    runningPid: async ({ stateDir }) => (await runningHolder(join(stateDir, LOCK_FILE)))?.pid ?? null,
  }
}

/** Ports of this machine, which the node that was backed up may hold itself, say nothing of a backup. */
const PORT_CODES: ReadonlySet<string> = new Set(['NZ_FORWARD_PORT_TAKEN', 'NZ_FORWARD_PORT_DENIED'])

function unwellModules(modules: readonly ModuleStatus[]): readonly UnwellModule[] {
  return modules.flatMap(({ name: module, state, health, lastErrorCode }): readonly UnwellModule[] => {
    if (health !== null && health.state !== 'healthy')
      return PORT_CODES.has(health.code) ? [] : [{ module, code: health.code, why: health.why }]
    return state === 'running' ? [] : [{ module, code: lastErrorCode ?? 'NZ_INTERNAL', why: `it is ${state}` }]
  })
}

/** What keeps state, and with a network also what works on it. @throws when a module does not start */
async function startIsolated(
  home: Home,
  { passphrase, network }: { readonly passphrase: PassphraseSource; readonly network?: NetworkService },
): Promise<Kernel> {
  const loaded = await Promise.all([
    import('../modules/home/index.ts'),
    import('../modules/storage/index.ts'),
    import('../modules/files/index.ts'),
    import('../modules/eventlog/index.ts'),
    import('../modules/backup/index.ts'),
  ])
  const working =
    network === undefined
      ? []
      : await Promise.all([
          import('../modules/documents/index.ts'),
          import('../modules/contacts/index.ts'),
          import('../modules/forwards/index.ts'),
          import('../modules/transfers/index.ts'),
          import('../modules/trust/index.ts'),
          import('../modules/channels/index.ts'),
        ])
  const identity: AnyModule = identityModule({ passphrase })
  const modules = [identity, ...[...loaded, ...working].map((module) => module.default as AnyModule)]
  // What was let in once is let in again, whatever limits the configuration has by then.
  const config = {
    home,
    storage: { maxNamespaceRecords: 1_000_000, maxNamespaceBytes: 17_179_869_184 },
    files: { maxFiles: 150_000, maxBytes: 2 ** 50 },
    eventlog: { maxLogBytes: 1_099_511_627_776 },
  }
  const services = network === undefined ? [] : [provide(NetworkService, network)]
  const kernel = new Kernel({ modules, config, services, log: silent })
  await kernel.start()
  return kernel
}

/** A command tells what it did itself. */
const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}
