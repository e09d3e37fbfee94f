/** Both implementations keep what FilesService promises. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../kernel/index.ts'
import { DiskFolder } from '../../modules/files/disk-folder.ts'
import { MemoryFolder } from '../../modules/files/memory-folder.ts'
import { filesCompliance } from '../compliance/files.ts'
import { openFiles } from '../fake/files.ts'
import { memoryHome } from '../fake/home.ts'
import { memoryDisk } from '../fake/storage.ts'
import type { OpenFilesInit } from '../fake/files.ts'
import type { FilesUnderTest } from '../compliance/files.ts'

function opener(always: OpenFilesInit): FilesUnderTest['open'] {
  return async (options) => {
    const opened = await openFiles({ ...always, ...options })
    return Object.assign(opened.files, { [Symbol.asyncDispose]: opened[Symbol.asyncDispose] })
  }
}

filesCompliance('in memory', async () => {
  const folder = new MemoryFolder(systemClock)
  return await Promise.resolve({
    open: opener({ folder, disk: memoryDisk(), home: memoryHome() }),
    remove: async () => await Promise.resolve(),
  })
})

filesCompliance('on disk', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'nz-files-'))
  return {
    open: opener({ folder: new DiskFolder(join(dir, 'files')), disk: memoryDisk(), home: memoryHome() }),
    remove: async () => await rm(dir, { recursive: true, force: true }),
  }
})
