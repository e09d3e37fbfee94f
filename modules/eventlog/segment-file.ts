/** The files of a log: their names, and durable operations on them. spec/NZ-LOG-01.md §3. */
import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { FileHandle } from 'node:fs/promises'

export const HEAD_FILE = 'head'
/** Where repairs put what they replace. */
export const ASIDE_FOLDER = 'damaged'
const SEGMENT_NAME = /^([0-9a-f]{8})-([0-9a-f]{14})\.seg$/

export interface Segment {
  readonly number: number
  /** Sequence of the first entry that it holds or will hold. */
  readonly first: number
  readonly path: string
  /** As it was listed; of the segment that is written the head knows better. */
  readonly bytes: number
}

export function segmentPath(dir: string, number: number, first: number): string {
  return join(dir, `${number.toString(16).padStart(8, '0')}-${first.toString(16).padStart(14, '0')}.seg`)
}

/** In order of their numbers. Of two with one number, only the one that begins earlier. */
export async function listSegments(dir: string): Promise<readonly Segment[]> {
  const segments = new Map<number, Segment>()
  for (const name of (await readdir(dir)).toSorted()) {
    const [, number, first] = SEGMENT_NAME.exec(name) ?? []
    if (number === undefined || first === undefined) continue
    const path = join(dir, name)
    const segment = { number: parseInt(number, 16), first: parseInt(first, 16), path, bytes: (await stat(path)).size }
    if (!segments.has(segment.number)) segments.set(segment.number, segment)
  }
  return [...segments.values()].toSorted((a, b) => a.number - b.number)
}

/** Every byte, or an error: a disk that takes a part only is asked again for the rest. */
export async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength;) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done, position + done)
    if (bytesWritten === 0) throw Object.assign(new Error('the disk took nothing'), { code: 'EIO' })
    done += bytesWritten
  }
}

/** A new file with these bytes, durable but for its name. */
export async function writeNewFile(path: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, 'w', 0o600)
  try {
    await writeAll(handle, bytes, 0)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The words for what a disk answered, without paths. */
export function diskReason(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
  const words: Readonly<Record<string, string>> = {
    ENOSPC: 'no space is left on the disk',
    EDQUOT: 'the disk quota is used up',
    EROFS: 'the disk is mounted read-only',
    EIO: 'the disk failed',
    EMFILE: 'too many files are open',
    ENFILE: 'too many files are open on this machine',
    EACCES: 'a file may not be opened',
    ENOENT: 'a file is missing',
  }
  return `${words[code] ?? 'the disk refused'} (${code})`
}
