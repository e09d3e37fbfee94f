/** An identity as a passphrase-protected file for another machine. spec/NZ-IDENTITY-01.md §11. */
import { constants } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { lock, parse, unlock } from './locked-file.ts'
import { requireFitPassphrase } from './passphrase.ts'
import { isErrno } from '../../kernel/index.ts'
import { MAX_PRIVATE_FILE_BYTES } from './private-file.ts'
import { identityErrors } from './service.ts'
import { ENTROPY_BYTES } from './words.ts'
import type { LockedFileHeader } from './locked-file.ts'

/** Encrypts `entropy`; both it and the passphrase stay the caller's to zero. @throws NZ_IDENTITY_PASSPHRASE_UNFIT */
export async function exportOf(
  subject: LockedFileHeader['subject'],
  entropy: Uint8Array,
  passphrase: Uint8Array,
  cost: { readonly logN?: number },
): Promise<Uint8Array> {
  requireFitPassphrase(passphrase)
  return await lock({ kind: 'export', subject, boundTo: null }, entropy, { by: 'passphrase', passphrase }, cost)
}

/**
 * The entropy of an export, which the caller zeroes.
 *
 * @throws NZ_IDENTITY_EXPORT_INVALID, NZ_IDENTITY_VERSION_UNKNOWN, NZ_IDENTITY_PASSPHRASE_WRONG
 */
export async function importOf(bytes: Uint8Array, passphrase: Uint8Array): Promise<Uint8Array> {
  if (bytes.byteLength > MAX_PRIVATE_FILE_BYTES) throw invalid('it is larger than an export can be')
  const result = parse(bytes)
  if (result.state === 'newer') throw identityErrors.NZ_IDENTITY_VERSION_UNKNOWN()
  if (result.state === 'damaged') throw invalid(result.why)
  const { file } = result
  if (file.header.kind !== 'export' || file.header.protection.by !== 'passphrase') {
    throw invalid('it is a keystore, which opens only where it was made')
  }
  const entropy = await unlock(file, { by: 'passphrase', passphrase })
  if (entropy === 'wrong-secret') throw identityErrors.NZ_IDENTITY_PASSPHRASE_WRONG()
  if (entropy === 'damaged') throw invalid('its contents were changed')
  if (entropy.byteLength === ENTROPY_BYTES) return entropy
  entropy.fill(0)
  throw invalid('it holds something else')
}

/** The file a person names; it is encrypted, so it may lie anywhere. @throws NZ_IDENTITY_EXPORT_MISSING */
export async function readExport(path: string): Promise<Uint8Array> {
  try {
    const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    try {
      const bytes = new Uint8Array(MAX_PRIVATE_FILE_BYTES + 1)
      let length = 0
      while (length < bytes.byteLength) {
        const { bytesRead } = await handle.read(bytes, length)
        if (bytesRead === 0) break
        length += bytesRead
      }
      return bytes.subarray(0, length)
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw identityErrors.NZ_IDENTITY_EXPORT_MISSING({ cause: error, data: { path } })
  }
}

/** A new file of mode 0600, durable when it resolves. @throws NZ_IDENTITY_EXPORT_EXISTS, NZ_IDENTITY_FILE_FAILED */
export async function writeExport(path: string, bytes: Uint8Array): Promise<void> {
  let handle
  try {
    handle = await open(path, 'wx', 0o600)
  } catch (error) {
    if (isErrno(error, 'EEXIST')) throw identityErrors.NZ_IDENTITY_EXPORT_EXISTS({ data: { path } })
    throw identityErrors.NZ_IDENTITY_FILE_FAILED({ cause: error, data: { path } })
  }
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } catch (error) {
    await rm(path, { force: true })
    throw identityErrors.NZ_IDENTITY_FILE_FAILED({ cause: error, data: { path } })
  } finally {
    await handle.close()
  }
}

function invalid(why: string): Error {
  return identityErrors.NZ_IDENTITY_EXPORT_INVALID({ why })
}
