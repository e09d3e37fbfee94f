/** Sealed contents as files of a folder: written aside, fsynced, renamed, folder fsynced. NZ-FILES-01 §4. */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { FileHandle } from 'node:fs/promises'
import { isErrno, syncFolder } from '../../kernel/index.ts'
import type { ContentFile, ContentFolder, Draft } from './folder.ts'

const SET_ASIDE = 'damaged'

export class DiskFolder implements ContentFolder {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  async open(): Promise<void> {
    await mkdir(this.#path, { recursive: true, mode: 0o700 })
    // Also when it was there: who made it may have been killed before this.
    await syncFolder(dirname(this.#path))
    for (const name of await readdir(this.#path)) {
      if (/^\.[0-9a-f]{16}\.tmp$/.test(name)) await rm(join(this.#path, name), { force: true })
    }
  }

  async draft(): Promise<Draft> {
    const path = join(this.#path, `.${randomBytes(8).toString('hex')}.tmp`)
    return new DiskDraft(this.#path, path, await open(path, 'wx', 0o600))
  }

  async read(name: string): Promise<ContentFile | null> {
    let handle
    try {
      handle = await open(join(this.#path, name), constants.O_RDONLY | constants.O_NOFOLLOW)
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return null
      throw error
    }
    try {
      const { size } = await handle.stat()
      return new DiskFile(handle, size)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  async names(): Promise<readonly string[]> {
    return (await readdir(this.#path)).filter((name) => /^[0-9a-f]{64}$/.test(name))
  }

  async writtenAtMs(name: string): Promise<number | null> {
    try {
      return (await stat(join(this.#path, name))).mtimeMs
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return null
      throw error
    }
  }

  async remove(name: string): Promise<void> {
    await rm(join(this.#path, name), { force: true })
  }

  async setAside(name: string): Promise<void> {
    const folder = join(this.#path, SET_ASIDE)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    try {
      await rename(join(this.#path, name), join(folder, name))
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return
      throw error
    }
    await syncFolder(folder)
    await syncFolder(this.#path)
  }

  async removeSetAside({ isDryRun }: { readonly isDryRun: boolean }): Promise<number> {
    const folder = join(this.#path, SET_ASIDE)
    const names = await readdir(folder).catch((error: unknown) => {
      if (isErrno(error, 'ENOENT')) return []
      throw error
    })
    if (!isDryRun) await rm(folder, { recursive: true, force: true })
    return names.length
  }
}

class DiskDraft implements Draft {
  readonly #folder: string
  readonly #path: string
  #handle: FileHandle | null
  #isOver = false
  #written = 0

  constructor(folder: string, path: string, handle: FileHandle) {
    this.#folder = folder
    this.#path = path
    this.#handle = handle
  }

  async append(bytes: Uint8Array): Promise<void> {
    if (this.#handle === null) throw new Error('the draft is finished')
    for (let at = 0; at < bytes.byteLength;) {
      const { bytesWritten } = await this.#handle.write(bytes, at, bytes.byteLength - at, this.#written)
      if (bytesWritten === 0) throw new Error('the file takes no bytes')
      at += bytesWritten
      this.#written += bytesWritten
    }
  }

  async finish(): Promise<void> {
    await this.#handle?.sync()
    await this.#close()
  }

  async publish(name: string): Promise<void> {
    await rename(this.#path, join(this.#folder, name))
    this.#isOver = true
    await syncFolder(this.#folder)
  }

  async discard(): Promise<void> {
    await this.#close()
    if (this.#isOver) return
    await rm(this.#path, { force: true })
    this.#isOver = true
  }

  async #close(): Promise<void> {
    const handle = this.#handle
    this.#handle = null
    await handle?.close()
  }
}

class DiskFile implements ContentFile {
  readonly size: number
  readonly #handle: FileHandle
  #isClosed = false

  constructor(handle: FileHandle, size: number) {
    this.#handle = handle
    this.size = size
  }

  async readAt(buffer: Uint8Array, position: number): Promise<number> {
    let filled = 0
    while (filled < buffer.byteLength) {
      const { bytesRead } = await this.#handle.read(buffer, filled, buffer.byteLength - filled, position + filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
    return filled
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#handle.close()
  }
}
