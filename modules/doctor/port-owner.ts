/** Which process listens on a TCP port, from the tables of the Linux kernel (proc(5): net/tcp, pid/fd). */
import { readdir, readFile, readlink } from 'node:fs/promises'

const LISTEN = '0A'
/** Processes of others hide their descriptors, and a busy machine has many. */
const MAX_PROCESSES = 4_096

/** `name (pid)`; `null` when it cannot be told. */
export async function portOwner(port: number): Promise<string | null> {
  const inodes = await listeningInodes(port)
  if (inodes.size === 0) return null
  const pids = (await entries('/proc')).filter((name) => /^\d+$/.test(name)).slice(0, MAX_PROCESSES)
  for (const pid of pids) {
    for (const fd of await entries(`/proc/${pid}/fd`)) {
      const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1]
      if (inode === undefined || !inodes.has(inode)) continue
      const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'a process')
      return `${name.trim()} (${pid})`
    }
  }
  return null
}

async function listeningInodes(port: number): Promise<ReadonlySet<string>> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const inodes = new Set<string>()
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const text = await readFile(table, 'utf8').catch(() => '')
    for (const line of text.split('\n').slice(1)) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/)
      if (local?.endsWith(suffix) === true && state === LISTEN && inode !== undefined) inodes.add(inode)
    }
  }
  return inodes
}

async function entries(folder: string): Promise<readonly string[]> {
  return await readdir(folder).catch(() => [])
}
