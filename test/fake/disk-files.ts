/** Stored files on disk over a store on disk, as a daemon has them. */
import { join } from 'node:path'
import { DiskFolder } from '../../modules/files/disk-folder.ts'
import { contentOf } from '../compliance/files.ts'
import { openDiskStore } from './disk-store.ts'
import { openFiles } from './files.ts'
import { memoryHome } from './home.ts'
import type { StateFiles } from '../../modules/home/state-files.ts'
import type { OpenedFiles } from './files.ts'

export async function openDiskFiles(dir: string, state: StateFiles): Promise<OpenedFiles> {
  const storage = await openDiskStore(dir, state)
  const home = { ...memoryHome(), read: state.read.bind(state), write: state.write.bind(state) }
  const opened = await openFiles({ storage, home, folder: new DiskFolder(join(dir, 'files')) })
  return {
    ...opened,
    [Symbol.asyncDispose]: async () => {
      await opened[Symbol.asyncDispose]()
      await storage.close()
    },
  }
}

export interface CrashChange {
  readonly name: string
  /** `null`: the name is removed. */
  readonly content: Uint8Array | null
}

/** The changes one writer of the crash test makes, in order. Writers share a content now and then. */
export function* crashChanges(round: number, writer: number): Generator<CrashChange> {
  for (let n = 0; ; n++) {
    const name = `w${writer}/${n % 7}`
    const size = (n * 40_009 + round * 977) % 300_000
    yield { name, content: contentOf(size, n % 3 === 0 ? n : n + 1_000 * writer) }
    if (n % 11 === 10) yield { name, content: null }
  }
}
