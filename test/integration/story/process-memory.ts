/** What a process has in its memory, as its owner can read it. */
import { open, readFile } from 'node:fs/promises'

const PIECE_BYTES = 4 * 1_048_576

/** Whether `text` stands anywhere in the writable memory of the process. */
export async function memoryHolds(pid: number, text: string): Promise<boolean> {
  const maps = await readFile(`/proc/${pid}/maps`, 'utf8')
  const memory = await open(`/proc/${pid}/mem`, 'r')
  const needle = Buffer.from(text)
  const buffer = Buffer.alloc(PIECE_BYTES + needle.length)
  try {
    for (const line of maps.split('\n')) {
      const [, from = '0', to = '0'] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? []
      for (let at = Number.parseInt(from, 16); at < Number.parseInt(to, 16); at += PIECE_BYTES) {
        const length = Math.min(buffer.length, Number.parseInt(to, 16) - at)
        // A region that went away meanwhile, or that the kernel keeps to itself.
        const { bytesRead } = await memory.read(buffer, 0, length, at).catch(() => ({ bytesRead: 0 }))
        if (buffer.subarray(0, bytesRead).includes(needle)) return true
      }
    }
    return false
  } finally {
    await memory.close()
  }
}
