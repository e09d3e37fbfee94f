/** Stored files for tests and simulations: in memory, or on a disk, over a store in memory. */
import { SimulatedClock, systemClock, systemRandom } from '../../kernel/index.ts'
import { Files } from '../../modules/files/files.ts'
import { FileKeys } from '../../modules/files/keys.ts'
import { MemoryFolder } from '../../modules/files/memory-folder.ts'
import { FileRecords } from '../../modules/files/records.ts'
import { memoryDisk, openStore } from './storage.ts'
import { memoryHome } from './home.ts'
import { bytesOf, contentOf, inPieces } from '../compliance/files.ts'
import type { Clock, Random } from '../../kernel/index.ts'
import type { FilesInit, FilesOptions } from '../../modules/files/files.ts'
import type { ContentFolder } from '../../modules/files/folder.ts'
import type { Storage } from '../../modules/storage/storage.ts'
import type { MemoryHome } from './home.ts'
import type { FakeDisk } from './storage.ts'

export interface OpenFilesInit extends Partial<FilesOptions> {
  readonly folder?: ContentFolder
  /** Below the records. */
  readonly disk?: FakeDisk
  /** In place of one of its own; its owner closes it. */
  readonly storage?: Storage
  readonly home?: MemoryHome
  readonly clock?: Clock
  readonly random?: Random
  /** First byte of the root key. */
  readonly seed?: number
  readonly storeState?: FilesInit['storeState']
  readonly repaired?: FilesInit['repaired']
  readonly told?: string[]
}

export interface OpenedFiles extends AsyncDisposable {
  readonly files: Files
  readonly storage: Storage
  readonly init: FilesInit
}

export async function openFiles({ told, seed = 1, ...init }: OpenFilesInit = {}): Promise<OpenedFiles> {
  const { clock = systemClock, random = systemRandom, disk = memoryDisk(), home = memoryHome() } = init
  const { folder = new MemoryFolder(clock), storeState = () => 'whole', repaired = () => 0 } = init
  const storage = init.storage ?? (await openStore({ disk, clock, random }))
  const services: FilesInit = {
    records: new FileRecords(storage.namespace('files')),
    keys: new FileKeys(new Uint8Array(32).fill(seed)),
    log: { debug() {}, info() {}, warn() {}, error() {} },
    events: { emit: (token) => void told?.push(token.name) },
    folder,
    home,
    clock,
    random,
    storeState,
    repaired,
  }
  const { maxFiles = 10_000, maxBytes = 2 ** 40, keepUnknownMs = 86_400_000 } = init
  const files = new Files(services, { maxFiles, maxBytes, keepUnknownMs })
  await files.open()
  return {
    files,
    storage,
    init: services,
    [Symbol.asyncDispose]: async () => {
      await files.close()
      if (init.storage === undefined) await storage.close()
    },
  }
}

const { signal } = new AbortController()

export const put = async (files: Files, name: string, content: Uint8Array, replaces = false) =>
  await files.put(name, inPieces(content), { signal, replaces })
export const read = async (files: Files, name: string) => await bytesOf(await files.read(name, { signal }))

/** Files in memory whose one content may be changed. */
export async function withContent(size: number) {
  const clock = new SimulatedClock()
  const folder = new MemoryFolder(clock)
  const told: string[] = []
  const opened = await openFiles({ folder, clock, told })
  await put(opened.files, 'f', contentOf(size))
  const [[diskName, sealed] = ['', new Uint8Array()]] = folder.files
  return { ...opened, clock, folder, told, diskName, sealed }
}
