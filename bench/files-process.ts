/**
 * One process that moves one file: `files-process.ts <put|get|copy> <folder> <source>`. Prints the milliseconds it took
 * and by how much its memory grew at most. The stored files are those of a node: the same modules, without a network.
 */
import { createHash } from 'node:crypto'
import { open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Kernel, provide } from '../kernel/index.ts'
import filesModule from '../modules/files/index.ts'
import { FilesService } from '../modules/files/service.ts'
import homeModule from '../modules/home/index.ts'
import { IdentityService } from '../modules/identity/service.ts'
import storageModule from '../modules/storage/index.ts'
import { homeOf } from '../protocols/ipc/home.ts'
import type { Logger } from '../kernel/index.ts'

const PIECE_BYTES = 262_144

export interface Moved {
  readonly ms: number
  /** Bytes the resident memory grew by at most; 0 where the system does not tell. */
  readonly grownBytes: number
}

const { signal } = new AbortController()
const [mode = '', folder = '', source = ''] = process.argv.slice(2)
if (process.argv[1] === import.meta.filename) {
  const moved = mode === 'copy' ? await measured(async () => await copy(source, join(folder, 'copy'))) : await stored()
  process.stdout.write(`${JSON.stringify(moved)}\n`)
}

async function stored(): Promise<Moved> {
  const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }
  const identity = { deriveKey: () => new Uint8Array(32).fill(1) } as Partial<IdentityService> as IdentityService
  const kernel = new Kernel({
    modules: [homeModule, storageModule, filesModule],
    config: { home: homeOf({ env: { NZ_HOME: folder } }) },
    services: [provide(IdentityService, identity)],
    log: silent,
  })
  await kernel.start()
  const files = kernel.get(FilesService)
  try {
    if (mode === 'put') {
      const replaces = true
      return await measured(async () => void (await files.put('file', piecesOf(source), { signal, replaces })))
    }
    const reading = await files.read('file', { signal })
    return await measured(async () => await write(reading, join(folder, 'got')))
  } finally {
    await kernel.stop()
  }
}

async function copy(from: string, to: string): Promise<void> {
  const hash = createHash('sha256')
  const hashed = async function* (): AsyncGenerator<Uint8Array> {
    for await (const bytes of piecesOf(from)) {
      hash.update(bytes)
      yield bytes
    }
  }
  await write(hashed(), to)
  hash.digest()
}

/** Durable when it resolves. */
async function write(pieces: AsyncIterable<Uint8Array>, path: string): Promise<void> {
  await rm(path, { force: true })
  const handle = await open(path, 'wx', 0o600)
  try {
    for await (const bytes of pieces) await handle.appendFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function* piecesOf(path: string): AsyncGenerator<Uint8Array> {
  const handle = await open(path)
  try {
    for (;;) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(PIECE_BYTES), 0, PIECE_BYTES)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}

async function measured(work: () => Promise<void>): Promise<Moved> {
  const before = await memory('VmRSS')
  const startedAt = performance.now()
  await work()
  const ms = performance.now() - startedAt
  return { ms, grownBytes: Math.max(0, (await memory('VmHWM')) - before) }
}

async function memory(field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const text = await readFile('/proc/self/status', 'utf8').catch(() => '')
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1_024
}
