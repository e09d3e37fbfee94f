/**
 * A disk that loses its power. It is told the file operations of a process and knows at every moment what must be on
 * the disk (what was synced) and what may be (the rest): each change of a file or folder that was not synced can be
 * dropped, kept, or, when it is data, torn. A file's sync says nothing of its name: that takes a sync of its folder.
 * This is stricter than common file systems, which write names in order.
 */
import { closeSync, lstatSync, mkdirSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { bytesOf, textOf } from './system-calls.ts'
import type { Random } from '../../kernel/index.ts'
import type { CallEvent, SystemCall } from './system-calls.ts'

interface FileChange {
  isDone: boolean
  /** `null`: the file gets the size `offset`. */
  readonly data: Buffer | null
  readonly offset: number
}

interface FolderChange {
  isDone: boolean
  /** Names and what they stand for from then on; all of it or nothing. */
  readonly entries: readonly (readonly [string, Inode | null])[]
}

class FileInode {
  readonly kind = 'file'
  synced: Buffer = Buffer.alloc(0)
  pending: FileChange[] = []
  size = 0
}

class FolderInode {
  readonly kind = 'folder'
  synced = new Map<string, Inode>()
  pending: FolderChange[] = []
  readonly present = new Map<string, Inode>()
}

type Inode = FileInode | FolderInode

interface Descriptor {
  readonly inode: Inode
  readonly path: string
  readonly isAppending: boolean
  position: number
}

/** What becomes of what was not synced. */
export type CutKind = 'drop' | 'keep' | 'names only' | 'data only' | 'mixed'
export const CUT_KINDS: readonly CutKind[] = [
  'drop',
  'keep',
  'names only',
  'data only',
  'mixed',
  'mixed',
  'mixed',
  'mixed',
]

export interface DiskModelOptions {
  /** Everything below it is modelled; it exists and is durable itself. */
  readonly root: string
  /** Syncs that the disk takes no notice of: by the path they are called for. */
  readonly ignores?: (path: string, isFolder: boolean) => boolean
  /** What the process wrote to anything but files below the root. */
  readonly onOutput?: (bytes: Buffer) => void
}

export class DiskModel {
  readonly #options: DiskModelOptions
  readonly #root = new FolderInode()
  readonly #descriptors = new Map<number, Descriptor>()
  readonly #changes = new Map<SystemCall, (FileChange | FolderChange)[]>()
  readonly #syncs = new Map<
    SystemCall,
    { readonly inode: Inode; readonly covered: readonly (FileChange | FolderChange)[] }
  >()
  /** How many syncs were seen, by what they were for. */
  readonly syncs = new Map<string, number>()

  constructor(options: DiskModelOptions) {
    this.#options = options
  }

  /** Takes over what lies on the real disk as durable. */
  load(): void {
    fill(this.#root, this.#options.root)
  }

  /** Another process begins: it has no descriptors of the last one, whose calls are over, and sees what they did. */
  newProcess(): void {
    for (const changes of this.#changes.values()) for (const change of changes) change.isDone = true
    this.#descriptors.clear()
    this.#changes.clear()
    this.#syncs.clear()
  }

  apply({ call, isEnd }: CallEvent): void {
    if (!isEnd) {
      if (call.result === null || call.result >= 0) this.#begin(call)
      return
    }
    for (const change of this.#changes.get(call) ?? []) change.isDone = true
    this.#changes.delete(call)
    if (call.result !== null && call.result >= 0) this.#end(call, call.result)
  }

  /** Writes to the empty folder `target` what may be left after a power cut now. */
  cut(target: string, kind: CutKind, random: Random): void {
    const files = new Map<FileInode, Buffer>()
    const place = (folder: FolderInode, path: string): void => {
      for (const [name, inode] of survivingEntries(folder, kind, random)) {
        const at = join(path, name)
        if (inode.kind === 'folder') {
          mkdirSync(at, { mode: 0o700 })
          place(inode, at)
        } else {
          let bytes = files.get(inode)
          if (bytes === undefined) files.set(inode, (bytes = survivingBytes(inode, kind, random)))
          const fd = openSync(at, 'wx', 0o600)
          for (let from = 0; from < bytes.byteLength;) from += writeSync(fd, bytes, from)
          closeSync(fd)
        }
      }
    }
    place(this.#root, target)
  }

  #begin(call: SystemCall): void {
    const { name, args } = call
    switch (name) {
      case 'write':
      case 'writev':
      case 'pwrite64':
      case 'pwritev':
      case 'pwritev2':
        return this.#write(call)
      case 'ftruncate':
        return this.#truncate(call, this.#descriptors.get(Number(args[0]))?.inode, Number(args[1]))
      case 'truncate':
        return this.#truncate(call, this.#find(textOf(args[0] ?? '')), Number(args[1]))
      case 'close':
        return void this.#descriptors.delete(Number(args[0]))
      case 'rename':
        return this.#rename(call, textOf(args[0] ?? ''), textOf(args[1] ?? ''))
      case 'renameat':
      case 'renameat2':
        return this.#rename(call, pathAt(args, 0), pathAt(args, 2))
      case 'link':
        return this.#link(call, textOf(args[0] ?? ''), textOf(args[1] ?? ''))
      case 'linkat':
        return this.#link(call, pathAt(args, 0), pathAt(args, 2))
      case 'unlink':
      case 'rmdir':
        return this.#change(call, textOf(args[0] ?? ''), null)
      case 'unlinkat':
        return this.#change(call, pathAt(args, 0), null)
      case 'mkdir':
        return this.#change(call, textOf(args[0] ?? ''), new FolderInode())
      case 'mkdirat':
        return this.#change(call, pathAt(args, 0), new FolderInode())
      case 'fsync':
      case 'fdatasync':
        return this.#beginSync(call)
      default:
        return this.#refuseUnknown(call)
    }
  }

  #end(call: SystemCall, result: number): void {
    const { name, args } = call
    if (name === 'openat') this.#open(call, pathAt(args, 0), args[2] ?? '', result)
    else if (name === 'open') this.#open(call, textOf(args[0] ?? ''), args[1] ?? '', result)
    else if (name === 'creat') this.#open(call, textOf(args[0] ?? ''), 'O_WRONLY|O_CREAT|O_TRUNC', result)
    else if (name.startsWith('dup') || (name === 'fcntl' && /F_DUPFD/.test(args[1] ?? ''))) {
      const copied = this.#descriptors.get(Number(args[0]))
      if (copied !== undefined) this.#descriptors.set(result, copied)
    } else if (name === 'fsync' || name === 'fdatasync') this.#endSync(call)
  }

  #open(call: SystemCall, path: string, flags: string, fd: number): void {
    this.#descriptors.delete(fd)
    if (path !== this.#options.root && !this.#isBelow(path)) return
    let inode = this.#find(path)
    if (inode === undefined) {
      if (!flags.includes('O_CREAT')) throw new Error(`${path} was opened and is not known`)
      inode = new FileInode()
      this.#change(call, path, inode)
    } else if (flags.includes('O_TRUNC')) this.#truncate(call, inode, 0)
    for (const change of this.#changes.get(call) ?? []) change.isDone = true
    this.#changes.delete(call)
    this.#descriptors.set(fd, { inode, path, isAppending: flags.includes('O_APPEND'), position: 0 })
  }

  #write(call: SystemCall): void {
    const [fd = '', buffer = ''] = call.args
    const descriptor = this.#descriptors.get(Number(fd))
    const all = bytesOf(buffer)
    // A write that a kill interrupted may have done all of its work.
    const data = all.subarray(0, call.result ?? all.byteLength)
    if (descriptor === undefined) {
      this.#options.onOutput?.(data)
      return
    }
    const { inode } = descriptor
    if (inode.kind !== 'file') throw new Error('data is written to a folder')
    const isPlaced = call.name.startsWith('p')
    const offset = isPlaced
      ? Number(call.args.at(call.name === 'pwrite64' ? 3 : -1))
      : descriptor.isAppending
        ? inode.size
        : descriptor.position
    if (!isPlaced) descriptor.position = offset + data.byteLength
    inode.size = Math.max(inode.size, offset + data.byteLength)
    this.#note(call, inode, { isDone: false, data, offset })
  }

  #truncate(call: SystemCall, inode: Inode | undefined, size: number): void {
    if (inode?.kind !== 'file') return
    inode.size = size
    this.#note(call, inode, { isDone: false, data: null, offset: size })
  }

  #rename(call: SystemCall, from: string, to: string): void {
    if (!this.#isBelow(from) && !this.#isBelow(to)) return
    const inode = this.#find(from)
    if (inode === undefined) throw new Error(`${from} was renamed and is not known`)
    if (dirname(from) === dirname(to)) {
      this.#changeEntries(call, dirname(from), [
        [basename(from), null],
        [basename(to), inode],
      ])
    } else {
      this.#change(call, to, inode)
      this.#change(call, from, null)
    }
  }

  #link(call: SystemCall, from: string, to: string): void {
    const inode = this.#find(from)
    if (this.#isBelow(to) && inode !== undefined) this.#change(call, to, inode)
  }

  #change(call: SystemCall, path: string, inode: Inode | null): void {
    if (this.#isBelow(path)) this.#changeEntries(call, dirname(path), [[basename(path), inode]])
  }

  #changeEntries(call: SystemCall, path: string, entries: readonly (readonly [string, Inode | null])[]): void {
    const folder = this.#find(path)
    if (folder?.kind !== 'folder') throw new Error(`${path} is no folder that is known`)
    setAll(folder.present, entries)
    this.#note(call, folder, { isDone: false, entries })
  }

  #note(call: SystemCall, inode: Inode, change: FileChange | FolderChange): void {
    // The kinds of inode and change go together.
    ;(inode.pending as (FileChange | FolderChange)[]).push(change)
    this.#changes.set(call, [...(this.#changes.get(call) ?? []), change])
  }

  #beginSync(call: SystemCall): void {
    const descriptor = this.#descriptors.get(Number(call.args[0]))
    if (descriptor === undefined) return
    const { inode, path } = descriptor
    const kind = kindOfSync(path, inode.kind === 'folder')
    this.syncs.set(kind, (this.syncs.get(kind) ?? 0) + 1)
    if (this.#options.ignores?.(path, inode.kind === 'folder') === true) return
    const covered = inode.pending.filter(({ isDone }) => isDone)
    this.#syncs.set(call, { inode, covered })
  }

  #endSync(call: SystemCall): void {
    const sync = this.#syncs.get(call)
    this.#syncs.delete(call)
    if (sync === undefined) return
    const { inode } = sync
    const covered = new Set(sync.covered)
    if (inode.kind === 'file') {
      inode.synced = applied(
        inode.synced,
        inode.pending.filter((change) => covered.has(change)),
      )
      inode.pending = inode.pending.filter((change) => !covered.has(change))
    } else {
      for (const change of inode.pending) if (covered.has(change)) setAll(inode.synced, change.entries)
      inode.pending = inode.pending.filter((change) => !covered.has(change))
    }
  }

  #refuseUnknown({ name, args }: SystemCall): void {
    const isTracked = (at: number): boolean => this.#descriptors.has(Number(args[at]))
    const isMapped =
      name === 'mmap' && isTracked(4) && /PROT_WRITE/.test(args[2] ?? '') && /MAP_SHARED/.test(args[3] ?? '')
    const isMoved =
      (name === 'copy_file_range' && isTracked(2)) || (['sendfile', 'fallocate'].includes(name) && isTracked(0))
    if (isMapped || isMoved || name.startsWith('symlink')) throw new Error(`${name} is not modelled`)
  }

  #isBelow(path: string): boolean {
    return path.startsWith(`${this.#options.root}/`)
  }

  #find(path: string): Inode | undefined {
    if (path === this.#options.root) return this.#root
    if (!this.#isBelow(path)) return undefined
    let at: Inode | undefined = this.#root
    for (const name of path
      .slice(this.#options.root.length + 1)
      .split('/')
      .filter((part) => part !== '')) {
      at = at?.kind === 'folder' ? at.present.get(name) : undefined
    }
    return at
  }
}

/** What a sync is for: the classes of syncs that can be taken out one by one. */
export function kindOfSync(path: string, isFolder: boolean): string {
  if (isFolder) return basename(path) === 'store' ? 'folder of the store' : 'other folders'
  const name = basename(path)
  if (/^\d+\.log$/.test(name)) return "LevelDB's logs"
  if (/\.(?:ldb|sst)$/.test(name)) return "LevelDB's tables"
  if (name.startsWith('MANIFEST')) return "LevelDB's manifest"
  if (name.endsWith('.dbtmp')) return "LevelDB's CURRENT"
  return name.includes('witness') ? 'the witness' : 'other files'
}

function pathAt(args: readonly string[], at: number): string {
  const path = textOf(args[at + 1] ?? '')
  if (!path.startsWith('/') && args[at] !== 'AT_FDCWD') throw new Error('a path below a descriptor is not modelled')
  return path
}

function fill(folder: FolderInode, path: string): void {
  for (const name of readdirSync(path)) {
    const at = join(path, name)
    let inode: Inode
    if (lstatSync(at).isDirectory()) {
      inode = new FolderInode()
      fill(inode, at)
    } else if (lstatSync(at).isFile()) {
      inode = new FileInode()
      inode.synced = readFileSync(at)
      inode.size = inode.synced.byteLength
    } else continue
    folder.synced.set(name, inode)
    folder.present.set(name, inode)
  }
}

function setAll(entries: Map<string, Inode>, changes: FolderChange['entries']): void {
  for (const [name, inode] of changes) {
    if (inode === null) entries.delete(name)
    else entries.set(name, inode)
  }
}

function applied(bytes: Buffer, changes: readonly FileChange[]): Buffer {
  let result = bytes
  let size = bytes.byteLength
  for (const { data, offset } of changes) {
    const end = data === null ? offset : Math.max(size, offset + data.byteLength)
    if (end > result.byteLength)
      result = Buffer.concat([result, Buffer.alloc(Math.max(end * 2, 65_536) - result.byteLength)])
    if (data === null) {
      if (offset < size) result = Buffer.from(result)
      result.fill(0, Math.min(offset, size), Math.max(offset, size))
    } else data.copy(result, offset)
    size = end
  }
  return result.subarray(0, size)
}

function survivingEntries(folder: FolderInode, kind: CutKind, random: Random): ReadonlyMap<string, Inode> {
  const entries = new Map(folder.synced)
  const share = random.unit()
  for (const { entries: changes } of folder.pending) {
    const isKept = kind === 'keep' || kind === 'names only' || (kind === 'mixed' && random.unit() < share)
    if (isKept) setAll(entries, changes)
  }
  return entries
}

function survivingBytes(file: FileInode, kind: CutKind, random: Random): Buffer {
  if (kind === 'drop' || kind === 'names only' || file.pending.length === 0) return Buffer.from(file.synced)
  if (kind !== 'mixed') return applied(Buffer.from(file.synced), file.pending)
  const share = random.unit()
  const blockBytes = random.unit() < 0.5 ? 512 : 4_096
  const kept = file.pending.flatMap((change): readonly FileChange[] => {
    const chance = random.unit()
    if (change.data === null) return chance < share ? [change] : []
    // Three in ten are torn.
    if (chance < share * 0.7) return [change]
    return chance < share * 0.7 + 0.3 ? torn(change.data, change.offset, blockBytes, random) : []
  })
  return applied(Buffer.from(file.synced), kept)
}

/** Some blocks of a write have arrived. Others are as before, or, in a file that grew, whatever the disk held there. */
function torn(data: Buffer, offset: number, blockBytes: number, random: Random): readonly FileChange[] {
  const parts: FileChange[] = []
  for (let at = 0; at < data.byteLength;) {
    const end = Math.min(data.byteLength, at + blockBytes - ((offset + at) % blockBytes))
    const chance = random.unit()
    const part = data.subarray(at, end)
    if (chance < 0.5) parts.push({ isDone: true, data: part, offset: offset + at })
    else if (chance < 0.6)
      parts.push({ isDone: true, data: Buffer.from(random.bytes(part.byteLength)), offset: offset + at })
    at = end
  }
  return parts
}
