/** Names in a folder are durable only when the folder itself was synced. */
import { open } from 'node:fs/promises'

/** Makes what was created, renamed and removed in the folder survive a power cut; nothing to do on Windows. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
