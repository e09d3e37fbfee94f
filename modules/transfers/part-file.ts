/**
 * The hidden file in which a transfer grows: hashed as it comes, made durable in batches, and given its final name only
 * when it is whole. The final name never exists before that, and never replaces a file.
 */
import { createHash } from 'node:crypto'
import { constants, existsSync } from 'node:fs'
import { link, open, rename, rm, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { BatchBuffers } from './batch.ts'
import { isErrno, isNzError, syncFolder } from '../../kernel/index.ts'
import { transfersErrors } from './service.ts'
import { numberedFileName, safeFileName } from '../../protocols/transfer/name.ts'
import type { Hash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'

/** Tries for a free name before giving up. */
const MAX_NAME_TRIES = 1_000

const READ_BYTES = 1_048_576

export class PartFile {
  readonly path: string
  #handle: FileHandle | null = null
  #hash: Hash = createHash('sha256')
  /** Bytes that went into the hash; of them `#written` are in the file. */
  #hashed = 0
  #written = 0
  readonly #pending = new BatchBuffers()

  constructor(path: string) {
    this.path = path
  }

  get pendingBytes(): number {
    return this.#pending.bytes
  }

  /** Bytes held, written or not. */
  get offset(): number {
    return this.#hashed
  }

  /** Opens or makes the file and hashes what it holds unless that is known. */
  async open(): Promise<void> {
    try {
      this.#handle = await open(this.path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
      const { size } = await this.#handle.stat()
      if (size !== this.#hashed) await this.#rehash(size)
    } catch (error) {
      throw storageError(error)
    }
  }

  /** SHA-256 of everything held. */
  sha256(): Uint8Array {
    return new Uint8Array(this.#hash.copy().digest())
  }

  /** Forgets what is held beyond `offset`. */
  async cut(offset: number): Promise<void> {
    if (offset === this.#hashed) return
    try {
      await this.#open().truncate(offset)
      await this.#rehash(offset)
    } catch (error) {
      throw storageError(error)
    }
  }

  /** Takes a copy of the next bytes. */
  push(bytes: Uint8Array): void {
    this.#hash.update(bytes)
    this.#hashed += bytes.byteLength
    this.#pending.push(bytes)
  }

  /** Writes and fsyncs everything pushed before the call; gives the offset that is durable. One call at a time. */
  async flush(): Promise<number> {
    const handle = this.#open()
    const batch = this.#pending.take()
    try {
      for (const { buffer, length } of batch) await this.#write(handle, buffer.subarray(0, length))
      await handle.datasync()
      this.#pending.recycle(batch)
    } catch (error) {
      throw storageError(error)
    }
    return this.#written
  }

  /**
   * Gives the whole, flushed file its final name: the offered one made safe, or a numbered one when that is taken.
   * Durable when it resolves. The hidden name still exists beside it: `remove` it once the outcome is recorded.
   */
  async publish(directory: string, offeredName: string): Promise<string> {
    try {
      if (this.#handle !== null) await this.#handle.sync()
      const path = await this.#linkFree(directory, safeFileName(offeredName))
      await syncFolder(directory)
      return path
    } catch (error) {
      throw storageError(error)
    }
  }

  /** Closes the file; what is durable stays and is hashed no second time by this object. */
  async close(): Promise<void> {
    const handle = this.#handle
    this.#handle = null
    const isLost = this.#pending.bytes > 0
    this.#pending.clear()
    if (isLost) this.#forget()
    await handle?.close()
  }

  /** Whether there is a hidden file. */
  async exists(): Promise<boolean> {
    try {
      await stat(this.path)
      return true
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false
      throw storageError(error)
    }
  }

  /** Closes and deletes the hidden file. */
  async remove(): Promise<void> {
    await this.close()
    this.#forget()
    await rm(this.path, { force: true })
  }

  async #write(handle: FileHandle, bytes: Uint8Array): Promise<void> {
    for (let rest = bytes; rest.byteLength > 0;) {
      const { bytesWritten } = await handle.write(rest, 0, rest.byteLength, this.#written)
      if (bytesWritten === 0) throw new Error('the file takes no bytes')
      this.#written += bytesWritten
      rest = rest.subarray(bytesWritten)
    }
  }

  async #rehash(size: number): Promise<void> {
    this.#hash = await hashPrefix(this.#open(), size)
    this.#hashed = size
    this.#written = size
  }

  #forget(): void {
    this.#hash = createHash('sha256')
    this.#hashed = 0
    this.#written = 0
  }

  #open(): FileHandle {
    if (this.#handle === null) throw new Error('part file is closed')
    return this.#handle
  }

  /** A hard link cannot replace a file, so two writers never meet under one name. */
  async #linkFree(directory: string, name: string): Promise<string> {
    const { ino, dev, nlink } = await stat(this.path)
    for (let number = 1; number <= MAX_NAME_TRIES; number += 1) {
      const path = join(directory, numberedFileName(name, number))
      // An earlier run may have given the name and stopped before it could record that.
      if (nlink > 1 && (await isSameFile(path, { ino, dev }))) return path
      try {
        await link(this.path, path)
        return path
      } catch (error) {
        if (isErrno(error, 'EEXIST')) continue
        if (!isErrno(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK')) throw error
        // No hard links on this file system (FAT): the check and the rename are two steps there.
        if (existsSync(path)) continue
        await rename(this.path, path)
        return path
      }
    }
    throw transfersErrors.NZ_TRANSFERS_STORAGE_FAILED({ why: 'no free name for the file', data: { directory } })
  }
}

/** SHA-256 state of the first `size` bytes. @throws when the file is shorter */
export async function hashPrefix(handle: FileHandle, size: number): Promise<Hash> {
  const hash = createHash('sha256')
  const buffer = new Uint8Array(Math.min(READ_BYTES, Math.max(size, 1)))
  for (let at = 0; at < size;) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.byteLength, size - at), at)
    if (bytesRead === 0) throw new Error('file is shorter than it was')
    hash.update(buffer.subarray(0, bytesRead))
    at += bytesRead
  }
  return hash
}

/** @throws NZ_TRANSFERS_NO_SPACE, NZ_TRANSFERS_STORAGE_FAILED in place of what the file system or the store said */
export function storageError(error: unknown): Error {
  if (isErrno(error, 'ENOSPC', 'EDQUOT')) return transfersErrors.NZ_TRANSFERS_NO_SPACE({ cause: error })
  if (isNzError(error) && error.code.startsWith('NZ_STORAGE_')) {
    const { why } = error
    if (why !== null && /ENOSPC|EDQUOT/.test(why)) return transfersErrors.NZ_TRANSFERS_NO_SPACE({ cause: error, why })
    return transfersErrors.NZ_TRANSFERS_STORAGE_FAILED({ cause: error, ...(why === null ? {} : { why }) })
  }
  if (isNzError(error)) return error
  return transfersErrors.NZ_TRANSFERS_STORAGE_FAILED({ cause: error })
}

async function isSameFile(path: string, { ino, dev }: { ino: number; dev: number }): Promise<boolean> {
  try {
    const found = await stat(path)
    return found.ino === ino && found.dev === dev
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false
    throw error
  }
}

/** Deletes a file; no error when it is gone. */
export async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error
  }
}
