/** Stores for tests: in memory or on disk, with the disk in the test's hands. */
import { systemClock, systemRandom } from '../../kernel/index.ts'
import { StoreKeys } from '../../modules/storage/keys.ts'
import { MemoryEngine } from '../../modules/storage/memory-engine.ts'
import { Storage } from '../../modules/storage/storage.ts'
import { WitnessFile } from '../../modules/storage/witness-file.ts'
import type { Clock, EventBus, Logger, Random } from '../../kernel/index.ts'
import type { HomeService } from '../../modules/home/service.ts'
import type { Engine, EngineOperation } from '../../modules/storage/engine.ts'
import type { StorageOptions } from '../../modules/storage/storage.ts'

export interface FakeDisk {
  readonly engine: Engine
  /** State files beside the store: in memory, or where a daemon has them. */
  readonly files?: Map<string, Uint8Array>
  readonly state?: Pick<HomeService, 'read' | 'write'>
}

export interface OpenInit extends Partial<StorageOptions> {
  readonly disk?: FakeDisk
  readonly clock?: Clock
  readonly random?: Random
  /** First byte of the root key. */
  readonly seed?: number
  /** The root key itself. */
  readonly root?: Uint8Array
  readonly told?: string[]
  readonly events?: Pick<EventBus, 'emit'>
  /** State files of versions without a store. */
  readonly home?: Pick<HomeService, 'read' | 'remove'>
}

/** A disk that refuses changes while it is full. */
export class FillableEngine extends MemoryEngine {
  isFull = false

  override async batch(operations: readonly EngineOperation[]): Promise<void> {
    await this.probe()
    await super.batch(operations)
  }

  override async probe(): Promise<void> {
    if (this.isFull) throw new Error('ENOSPC: no space left on device')
    await super.probe()
  }
}

export interface MemoryDisk extends FakeDisk {
  readonly engine: FillableEngine
  readonly files: Map<string, Uint8Array>
}

export function memoryDisk(records = new Map<string, Uint8Array>()): MemoryDisk {
  return { engine: new FillableEngine(records), files: new Map() }
}

const disks = new WeakMap<Map<string, Uint8Array>, MemoryDisk>()

/** The disk that has these state files: what is stored there survives as long as they do. */
export function diskOf(files: Map<string, Uint8Array>): MemoryDisk {
  const disk = disks.get(files) ?? { engine: new FillableEngine(), files }
  disks.set(files, disk)
  return disk
}

/** Everything as it is now, for a node that goes back to it: state files and the records of the store. */
export function copyOfDisk(files: Map<string, Uint8Array>): Map<string, Uint8Array> {
  const copy = new Map([...files].map(([name, bytes]) => [name, Uint8Array.from(bytes)]))
  const { engine } = diskOf(copy)
  for (const [place, record] of diskOf(files).engine.records) engine.records.set(place, record)
  return copy
}

/** Takes one record away that was acknowledged. */
export function damage({ engine }: MemoryDisk): void {
  engine.records.delete([...engine.records.keys()].find((place) => place.startsWith('72')) ?? '')
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/** A store that was opened; `close` it. */
export async function openStore({
  disk = memoryDisk(),
  seed = 1,
  told,
  events,
  home: files = noFiles,
  ...init
}: OpenInit = {}): Promise<Storage> {
  const { clock = systemClock, random = systemRandom, root = new Uint8Array(32).fill(seed), ...options } = init
  const keys = new StoreKeys(root)
  const home = disk.state ?? memoryFiles(disk.files ?? new Map<string, Uint8Array>())
  const storage = new Storage(
    {
      engine: disk.engine,
      keys,
      witness: new WitnessFile(home, keys),
      clock,
      random,
      log: silent,
      events: events ?? { emit: (token) => void told?.push(token.name) },
      files,
    },
    {
      maxNamespaceRecords: 10_000,
      maxNamespaceBytes: 67_108_864,
      sweepIntervalMs: 60_000,
      witnessIntervalMs: 5_000,
      ...options,
    },
  )
  await storage.open()
  return storage
}

const noFiles: Pick<HomeService, 'read' | 'remove'> = {
  read: async () => await Promise.resolve(null),
  remove: async () => await Promise.resolve(),
}

function memoryFiles(files: Map<string, Uint8Array>): Pick<HomeService, 'read' | 'write'> {
  return {
    read: async (name) => await Promise.resolve(files.get(name) ?? null),
    write: async (name, bytes) => {
      files.set(name, Uint8Array.from(bytes))
      await Promise.resolve()
    },
  }
}
