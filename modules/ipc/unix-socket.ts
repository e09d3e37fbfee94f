/** Where the Unix socket lives: a folder of the owner alone, a socket of the owner alone, and no stale one in the way. */
import { once } from 'node:events'
import { chmod, lstat, rm } from 'node:fs/promises'
import type { Server } from 'node:http'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { makeFolder } from '../../kernel/index.ts'
import { ipcErrors } from '../../protocols/ipc/errors.ts'

/**
 * Listens on `socketPath` (0600, in a folder of 0700). A socket that nobody answers on is a leftover and is replaced.
 *
 * @throws NZ_IPC_SOCKET_TAKEN, NZ_IPC_SOCKET_FOLDER
 */
export async function listenOnUnixSocket(
  server: Server,
  socketPath: string,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  if (process.platform !== 'win32') {
    await prepareFolder(dirname(socketPath))
    await removeStale(socketPath)
  }
  server.listen(socketPath)
  await once(server, 'listening', { signal })
  if (process.platform !== 'win32') await chmod(socketPath, 0o600)
}

async function prepareFolder(path: string): Promise<void> {
  await makeFolder(path)
  const found = await lstat(path)
  const isOurs = found.isDirectory() && found.uid === process.getuid?.()
  if (isOurs && (found.mode & 0o077) === 0) return
  // A folder of ours that is open to others is closed; one of somebody else is not to be trusted.
  if (!isOurs) throw ipcErrors.NZ_IPC_SOCKET_FOLDER({ data: { path } })
  await chmod(path, 0o700)
}

async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  if (found === null) return
  if (!found.isSocket() || (await isAnswered(path))) throw ipcErrors.NZ_IPC_SOCKET_TAKEN({ data: { path } })
  await rm(path, { force: true })
}

/** Whether a process listens on the socket. */
async function isAnswered(path: string): Promise<boolean> {
  const probe = connect(path)
  try {
    await once(probe, 'connect')
    return true
  } catch {
    // ECONNREFUSED: nobody listens. Anything else shows on `listen`.
    return false
  } finally {
    probe.destroy()
  }
}
