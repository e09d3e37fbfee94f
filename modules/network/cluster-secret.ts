/**
 * The key of a private swarm from the secret its operators share. Whoever lacks the secret gets no further than the
 * first bytes: libp2p's pnet encrypts the whole connection, handshake included, with this key.
 */
import { scrypt } from 'node:crypto'
import { open } from 'node:fs/promises'
import { promisify } from 'node:util'
import { isNzError } from '../../kernel/index.ts'
import { networkErrors } from './service.ts'

export const MIN_SECRET_CHARACTERS = 16
const MAX_SECRET_BYTES = 4_096
/**
 * Fixed on purpose: every node of the cluster must come to the same key from the secret alone, and there is nobody to
 * ask for a shared random salt before the first connection. It keeps this use of a secret apart from every other; the
 * cost of a guess comes from scrypt (32 MiB, about 0.1 s) and from the length asked for.
 */
const SALT = 'nzcore/cluster-secret/1'
const COST = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1024 * 1024 }

const stretch = promisify<Buffer, string, number, object, Buffer>(scrypt)

/** 32 bytes. The caller zeroes both. @throws NZ_NETWORK_CLUSTER_SECRET when the secret is too short */
export async function clusterKeyOf(secret: Buffer): Promise<Buffer> {
  if (secret.toString('utf8').length < MIN_SECRET_CHARACTERS)
    throw networkErrors.NZ_NETWORK_CLUSTER_SECRET({ why: `it has fewer than ${MIN_SECRET_CHARACTERS} characters` })
  return await stretch(secret, SALT, 32, COST)
}

/** The first line of the file. @throws NZ_NETWORK_CLUSTER_SECRET when it cannot be read or others may read it */
export async function readClusterSecret(path: string): Promise<Buffer> {
  const bytes = Buffer.alloc(MAX_SECRET_BYTES)
  try {
    const bytesRead = await readPrivate(path, bytes)
    const end = bytes.subarray(0, bytesRead).findIndex((byte) => byte === 0x0a || byte === 0x0d)
    return Buffer.from(bytes.subarray(0, end === -1 ? bytesRead : end))
  } catch (cause) {
    if (isNzError(cause)) throw cause
    throw networkErrors.NZ_NETWORK_CLUSTER_SECRET({ cause, why: 'the file cannot be read', data: { path } })
  } finally {
    bytes.fill(0)
  }
}

async function readPrivate(path: string, into: Buffer): Promise<number> {
  const file = await open(path, 'r')
  try {
    const { mode } = await file.stat()
    if (process.platform !== 'win32' && (mode & 0o077) !== 0)
      throw networkErrors.NZ_NETWORK_CLUSTER_SECRET({ why: 'others may read the file', data: { path } })
    const { bytesRead } = await file.read(into, 0, into.byteLength, 0)
    return bytesRead
  } finally {
    await file.close()
  }
}
