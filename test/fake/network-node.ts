/** A real network module on loopback ports of its own, with a fresh key and its state in memory. */
import { generateKeyPairSync } from 'node:crypto'
import { createEventBus, LifetimeScope, systemClock, systemRandom } from '../../kernel/index.ts'
import networkModule from '../../modules/network/index.ts'
import { peerIdOf } from '../../protocols/identity/id.ts'
import { memoryHome } from './home.ts'
import { fakeIdentity } from './identity.ts'
import { nativeAsked } from './native-asked.ts'
import { diskOf, openStore } from './storage.ts'
import type { FakeDisk } from './storage.ts'
import type { EventBus, Health } from '../../kernel/index.ts'
import type { NetworkConfig } from '../../modules/network/config.ts'
import type { NetworkService } from '../../modules/network/service.ts'
import type { MemoryHome } from './home.ts'

export interface NetworkNode extends AsyncDisposable {
  readonly network: NetworkService
  readonly events: EventBus
  readonly home: MemoryHome
  /** What the module reported through `fail`. */
  readonly failures: unknown[]
  health(): Promise<Health>
  /** Of its store. */
  repair(): Promise<unknown>
  stop(): Promise<void>
}

export interface NodeConfig extends Partial<Omit<NetworkConfig, 'limits' | 'relay'>> {
  readonly relay?: Partial<NetworkConfig['relay']>
  readonly limits?: Partial<NetworkConfig['limits']>
}

export interface NetworkNodeInit {
  readonly config?: NodeConfig
  readonly home?: MemoryHome
  /** Where its store is; default: the one of `home`. */
  readonly disk?: FakeDisk
  /** 64 bytes; default: a fresh key. */
  readonly privateKey?: Uint8Array
}

export async function startNetworkNode({
  config = {},
  home = memoryHome(),
  privateKey = freshKey(),
  disk = diskOf(home.files),
}: NetworkNodeInit = {}): Promise<NetworkNode> {
  const events = createEventBus({ onListenerError: () => undefined, nowMs: () => systemClock.nowMs() })
  const scope = new LifetimeScope()
  const failures: unknown[] = []
  const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  const base = fakeIdentity(0)
  const identity = {
    ...base,
    self: { ...base.self, peerId: peerIdOf(privateKey.subarray(32)), nodePublicKey: privateKey.slice(32) },
    nodePrivateKey: () => privateKey.slice(),
  }
  const parsed = await networkModule.config['~standard'].validate({
    listen: ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws'],
    native: nativeAsked(),
    ...config,
  })
  if (parsed.issues !== undefined) throw new Error(JSON.stringify(parsed.issues))
  const context = {
    name: 'network',
    log: silent,
    events,
    clock: systemClock,
    random: systemRandom,
    scope,
    fail: (error: unknown) => void failures.push(error),
    finish: () => undefined,
  }
  const storage = await openStore({ disk, home })
  const instance = await networkModule.setup(context, { storage, identity }, parsed.value)
  await instance.start?.({ signal: AbortSignal.timeout(10_000) })
  const stop = async (): Promise<void> => {
    await instance.stop?.({ signal: AbortSignal.timeout(10_000) })
    await scope[Symbol.asyncDispose]()
    await storage.close()
  }
  return {
    network: instance.services.network,
    events,
    home,
    failures,
    health: async () => (await instance.health?.({ signal: AbortSignal.timeout(10_000) })) ?? { state: 'healthy' },
    repair: async () => await storage.repair(),
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

/** Seed and public key, as `IdentityService.nodePrivateKey` gives them. */
export function freshKey(): Uint8Array {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const seed = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32)
  return new Uint8Array(Buffer.concat([seed, publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)]))
}
