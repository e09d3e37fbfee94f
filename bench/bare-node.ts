/** What modules of a node need of others when it has no home: keys and a store in memory, and trust in everybody. */
import { provide, systemClock, systemRandom } from '../kernel/index.ts'
import { IdentityKeys } from '../modules/identity/keys.ts'
import { IdentityService } from '../modules/identity/service.ts'
import { verifyFor } from '../protocols/identity/signature.ts'
import { StoreKeys } from '../modules/storage/keys.ts'
import { MemoryEngine } from '../modules/storage/memory-engine.ts'
import { StorageService } from '../modules/storage/service.ts'
import { Storage } from '../modules/storage/storage.ts'
import { WitnessFile } from '../modules/storage/witness-file.ts'
import { TrustService } from '../modules/trust/service.ts'
import type { Logger } from '../kernel/index.ts'

/** Every node is one of this machine. */
export const MANY = 1_000_000

/** So that many nodes of this machine may connect at once. */
export const localLimits = {
  handshakesPerSecondFromLoopback: MANY,
  maxHandshakesPerNetwork: MANY,
  maxHandshakes: MANY,
  maxSilentPerNetwork: MANY,
} as const

export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/** With a new identity. */
export async function bareServices() {
  const keys = await IdentityKeys.derive(systemRandom.bytes(32), ['A', 'B', 'C', 'D'])
  return [
    provide(IdentityService, identityOf(keys)),
    provide(StorageService, await memoryStore()),
    provide(TrustService, everybodyMay),
  ] as const
}

function identityOf(keys: IdentityKeys): IdentityService {
  const absent = async (): Promise<never> => await Promise.reject(new Error('nothing is sealed here'))
  return {
    self: keys.self,
    protection: 'key-file',
    nodePrivateKey: () => keys.nodePrivateKey(),
    sign: (purpose, message) => keys.sign(purpose, message),
    signAsNode: (purpose, message) => keys.signAsNode(purpose, message),
    verify: verifyFor,
    seal: absent,
    open: absent,
    deriveKey: (label) => keys.deriveKey(label),
  }
}

async function memoryStore(): Promise<StorageService> {
  const storeKeys = new StoreKeys(systemRandom.bytes(32))
  const files = new Map<string, Uint8Array>()
  const home = {
    read: async (name: string) => await Promise.resolve(files.get(name) ?? null),
    write: async (name: string, bytes: Uint8Array) => void (await Promise.resolve(files.set(name, bytes.slice()))),
    remove: async (name: string) => void (await Promise.resolve(files.delete(name))),
  }
  const storage = new Storage(
    {
      engine: new MemoryEngine(),
      keys: storeKeys,
      witness: new WitnessFile(home, storeKeys),
      clock: systemClock,
      random: systemRandom,
      log: silent,
      events: { emit() {} },
      files: home,
    },
    { maxNamespaceRecords: 10_000, maxNamespaceBytes: 67_108_864, sweepIntervalMs: 60_000, witnessIntervalMs: 5_000 },
  )
  await storage.open()
  return storage
}

/** Asked by nothing that is measured. */
export const unused = (): never => {
  throw new Error('the bench does not ask for this')
}

const everybodyMay: TrustService = {
  may: () => true,
  explain: unused,
  status: unused,
  statements: unused,
  updates: unused,
  set: unused,
  withdraw: unused,
  resume: unused,
  revoke: unused,
  reconcile: unused,
}
