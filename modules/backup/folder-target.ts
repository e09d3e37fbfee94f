/** A folder that archives are written to: aside, fsynced, renamed; 0600. */
import { randomBytes } from 'node:crypto'
import { open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isErrno, makeFolder, syncFolder } from '../../kernel/index.ts'
import { backupErrors } from './service.ts'
import type { Target } from './target.ts'

/** A file of a backup that a crash has ended. */
const LEFTOVER = /^\.nzcore-[A-Za-z0-9-]+\.age\.[0-9a-f]{12}\.tmp$/

export class FolderTarget implements Target {
  readonly kind = 'folder'
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  async write<T>(name: string, produce: (write: (bytes: Uint8Array) => Promise<void>) => Promise<T>): Promise<T> {
    const aside = join(this.#folder, `.${name}.${randomBytes(6).toString('hex')}.tmp`)
    try {
      await this.#failing(async () => {
        await makeFolder(this.#folder)
        await this.#removeLeftovers()
      })
      const handle = await this.#failing(async () => await open(aside, 'wx', 0o600))
      let result
      try {
        result = await produce(async (bytes) => {
          await this.#failing(async () => await writeAll(handle, bytes))
        })
        await this.#failing(async () => await handle.sync())
      } finally {
        await handle.close()
      }
      await this.#failing(async () => {
        await rename(aside, join(this.#folder, name))
        await syncFolder(this.#folder)
      })
      return result
    } catch (error) {
      // What made the write fail may make this fail too; the first cause is the one to tell.
      await rm(aside, { force: true }).catch(() => undefined)
      throw error
    }
  }

  async remove(names: readonly string[]): Promise<void> {
    await this.#failing(async () => {
      for (const name of names) await rm(join(this.#folder, name), { force: true })
      await syncFolder(this.#folder)
    })
  }

  async has(name: string): Promise<boolean> {
    return await this.#failing(async () => {
      try {
        return (await readdir(this.#folder)).includes(name)
      } catch (error) {
        if (isErrno(error, 'ENOENT')) return false
        throw error
      }
    })
  }

  async #removeLeftovers(): Promise<void> {
    const names = await readdir(this.#folder)
    for (const name of names) if (LEFTOVER.test(name)) await rm(join(this.#folder, name), { force: true })
  }

  async #failing<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'it failed'
      throw backupErrors.NZ_BACKUP_TARGET_FAILED({ why: code, cause: error, data: { folder: this.#folder } })
    }
  }
}

async function writeAll(handle: Awaited<ReturnType<typeof open>>, bytes: Uint8Array): Promise<void> {
  let at = 0
  while (at < bytes.byteLength) at += (await handle.write(bytes, at)).bytesWritten
}
