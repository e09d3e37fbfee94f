/** One archive file, read from its beginning to its proven end. */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { isNzError } from '../../kernel/index.ts'
import { AgeOpener } from '../../protocols/backup/age-payload.ts'
import { ArchiveDecoder } from '../../protocols/backup/archive.ts'
import { archiveErrors, backupErrors } from './service.ts'
import type { FileHandle } from 'node:fs/promises'
import type { ArchiveEvent } from '../../protocols/backup/archive.ts'
import type { X25519KeyPair } from '../../protocols/noise/x25519.ts'

const READ_BYTES = 262_144

export interface Reader {
  /** Opens the encryption. */
  readonly recoveryKey: X25519KeyPair
  /** Whether the identity has signed this manifest. */
  readonly verify: (manifest: Uint8Array, signature: Uint8Array) => boolean
}

/**
 * What the archive at `path` holds, in order. When the iteration ends by itself, file, manifest and signature are
 * proven; `onEnd` gets the SHA-256 of the file just before.
 *
 * @throws NZ_BACKUP_NO_ARCHIVE, NZ_BACKUP_NOT_OURS, NZ_BACKUP_ARCHIVE_DAMAGED, NZ_BACKUP_VERSION_UNKNOWN
 */
export async function* readArchive(
  path: string,
  { recoveryKey, verify }: Reader,
  { signal, onEnd }: { readonly signal: AbortSignal; readonly onEnd?: (sha256: string) => void },
): AsyncGenerator<ArchiveEvent> {
  const file = basename(path)
  const handle = await opened(path)
  try {
    const opener = new AgeOpener(recoveryKey)
    const decoder = new ArchiveDecoder(verify)
    const hash = createHash('sha256')
    for (;;) {
      signal.throwIfAborted()
      const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(READ_BYTES) })
      if (bytesRead === 0) break
      const bytes = buffer.subarray(0, bytesRead)
      hash.update(bytes)
      for (const plaintext of opener.push(bytes)) yield* decoder.push(plaintext)
    }
    yield* decoder.push(opener.finish())
    decoder.finish()
    onEnd?.(hash.digest('hex'))
  } catch (error) {
    throw named(error, file)
  } finally {
    await handle.close()
  }
}

async function opened(path: string): Promise<FileHandle> {
  try {
    // A pipe that nobody writes would keep an open that waits for ever.
    const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    if ((await handle.stat()).isFile()) return handle
    await handle.close()
    throw Object.assign(new Error('no regular file'), { code: 'ENOTSUP' })
  } catch (error) {
    throw backupErrors.NZ_BACKUP_NO_ARCHIVE({
      why: 'the file cannot be opened',
      cause: error,
      data: { file: basename(path) },
    })
  }
}

/** The same error, saying of which file it speaks. */
function named(error: unknown, file: string): unknown {
  if (error instanceof Error && 'syscall' in error) {
    return backupErrors.NZ_BACKUP_NO_ARCHIVE({ why: 'the file cannot be read', cause: error, data: { file } })
  }
  if (!isNzError(error, 'NZ_BACKUP_NOT_OURS', 'NZ_BACKUP_ARCHIVE_DAMAGED', 'NZ_BACKUP_VERSION_UNKNOWN')) return error
  const why = error.why === null ? {} : { why: `${file}: ${error.why}` }
  return archiveErrors[error.code]({ ...why, cause: error, data: { ...error.data, file } })
}
