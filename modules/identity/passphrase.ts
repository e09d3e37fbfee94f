/**
 * Where passphrases come from: a file or an open file descriptor that the environment names, or a question.
 * Never a command line and never an environment variable's value: both are readable by others.
 */
import { constants } from 'node:fs'
import { close, read } from 'node:fs'
import { open } from 'node:fs/promises'
import { promisify } from 'node:util'
import { identityErrors } from './service.ts'
import type { PassphraseSource } from './service.ts'

export const MIN_PASSPHRASE_BYTES = 8
export const MAX_PASSPHRASE_BYTES = 1_024

const GROUP_AND_OTHERS = 0o077
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d

const readDescriptor = promisify(read)
const closeDescriptor = promisify(close)

export interface PassphraseSourceInit {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Asks a person; used when the environment names no source. The source's caller zeroes the answer. */
  readonly ask?: () => Promise<Uint8Array>
}

/** `NZ_PASSPHRASE_FILE`, else `NZ_PASSPHRASE_FD`, else `ask`. @throws NZ_IDENTITY_PASSPHRASE_UNREADABLE */
export function passphraseSource({ env, ask }: PassphraseSourceInit): PassphraseSource {
  const file = env['NZ_PASSPHRASE_FILE']
  const descriptor = env['NZ_PASSPHRASE_FD']
  return async () => {
    if (file !== undefined && descriptor !== undefined) throw unreadable('both are set')
    if (file !== undefined) return await passphraseFromFile(file)
    if (descriptor !== undefined) return await passphraseFromDescriptor(descriptor)
    return ask === undefined ? null : await ask()
  }
}

/** The first line of a file that others may not read. */
export async function passphraseFromFile(path: string): Promise<Uint8Array> {
  let handle
  try {
    handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
  } catch (error) {
    throw unreadable('the file cannot be opened', error, path)
  }
  try {
    const stats = await handle.stat()
    if (!stats.isFile()) throw unreadable('it is no regular file', undefined, path)
    const user = process.geteuid?.()
    if (user !== undefined) {
      if (stats.uid !== user && stats.uid !== 0) throw unreadable('the file belongs to another user', undefined, path)
      if ((stats.mode & GROUP_AND_OTHERS) !== 0) throw unreadable('others may read the file', undefined, path)
    }
    return await readLine(handle.fd)
  } finally {
    await handle.close()
  }
}

/** Reads to the end and closes the descriptor, so that no child inherits it. */
async function passphraseFromDescriptor(descriptor: string): Promise<Uint8Array> {
  const fd = /^[0-9]{1,6}$/.test(descriptor) ? Number(descriptor) : -1
  if (fd < 0) throw unreadable('NZ_PASSPHRASE_FD is no file descriptor')
  try {
    return await readLine(fd)
  } finally {
    if (fd > 2) await closeDescriptor(fd).catch(() => undefined)
  }
}

async function readLine(fd: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(MAX_PASSPHRASE_BYTES + 2)
  try {
    let length = 0
    while (length < bytes.byteLength) {
      const { bytesRead } = await readDescriptor(fd, bytes, length, bytes.byteLength - length, null)
      if (bytesRead === 0) break
      length += bytesRead
    }
    if (bytes[length - 1] === LINE_FEED) length -= 1
    if (bytes[length - 1] === CARRIAGE_RETURN) length -= 1
    return bytes.slice(0, length)
  } catch (error) {
    throw unreadable('reading failed', error)
  } finally {
    bytes.fill(0)
  }
}

/** @throws NZ_IDENTITY_PASSPHRASE_UNFIT */
export function requireFitPassphrase(passphrase: Uint8Array): void {
  const { byteLength } = passphrase
  if (byteLength < MIN_PASSPHRASE_BYTES) throw identityErrors.NZ_IDENTITY_PASSPHRASE_UNFIT({ why: 'it is too short' })
  if (byteLength > MAX_PASSPHRASE_BYTES) throw identityErrors.NZ_IDENTITY_PASSPHRASE_UNFIT({ why: 'it is too long' })
  if (passphrase.some((byte) => byte === 0 || byte === LINE_FEED || byte === CARRIAGE_RETURN)) {
    throw identityErrors.NZ_IDENTITY_PASSPHRASE_UNFIT({ why: 'it has a line break or a zero byte in it' })
  }
}

function unreadable(why: string, cause?: unknown, path?: string): Error {
  return identityErrors.NZ_IDENTITY_PASSPHRASE_UNREADABLE({
    why,
    cause,
    ...(path === undefined ? {} : { data: { path } }),
  })
}
