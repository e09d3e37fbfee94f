/** Exports of all parts, encrypted and written as one archive; holds one item and one chunk. */
import { createHash } from 'node:crypto'
import { AgeSealer } from '../../protocols/backup/age-payload.ts'
import { ArchiveEncoder } from '../../protocols/backup/archive.ts'
import type { Random } from '../../kernel/index.ts'
import type { ArchiveHead, PartEntry } from '../../protocols/backup/archive.ts'
import type { PartExport } from '../../protocols/backup/part.ts'

export interface WriteArchiveInit {
  readonly head: ArchiveHead
  readonly exports: readonly { readonly name: string; readonly opened: PartExport }[]
  /** X25519 public keys. */
  readonly recipients: readonly Uint8Array[]
  readonly random: Pick<Random, 'bytes'>
  readonly sign: (manifest: Uint8Array) => Uint8Array
  readonly write: (bytes: Uint8Array) => Promise<void>
  readonly signal: AbortSignal
}

export interface WrittenArchive {
  readonly parts: readonly PartEntry[]
  readonly bytes: number
  /** Of the file, in hex. */
  readonly sha256: string
}

export async function writeArchive(init: WriteArchiveInit): Promise<WrittenArchive> {
  const { head, exports, recipients, random, sign, write, signal } = init
  const sealer = new AgeSealer(recipients, random)
  const encoder = new ArchiveEncoder()
  const hash = createHash('sha256')
  let size = 0
  const put = async (bytes: Uint8Array): Promise<void> => {
    signal.throwIfAborted()
    hash.update(bytes)
    size += bytes.byteLength
    await write(bytes)
  }
  const seal = async (frame: Uint8Array): Promise<void> => {
    for (const chunk of sealer.push(frame)) await put(chunk)
  }
  await put(sealer.head)
  await seal(encoder.head(head))
  const parts: PartEntry[] = []
  for (const { name, opened } of exports) {
    const { isFull } = opened
    await seal(encoder.part({ name, isFull }))
    let [items, bytes] = [0, 0]
    for await (const item of opened.items) {
      items += 1
      bytes += item.byteLength
      await seal(encoder.item(item))
    }
    parts.push({ name, isFull, items, bytes, root: await opened.root() })
  }
  await seal(encoder.end(parts, sign))
  await put(sealer.finish())
  return { parts, bytes: size, sha256: hash.digest('hex') }
}
