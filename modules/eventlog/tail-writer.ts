/** The end of a log on disk: entries are written and synced, then the head that speaks of them. NZ-LOG-01 §4. */
import { mkdir, open, rename, rm, truncate } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { FileHandle } from 'node:fs/promises'
import { syncFolder } from '../../kernel/index.ts'
import {
  decodeEntry,
  encodeEntry,
  entryHash,
  genesisHash,
  hashOf,
  hexOf,
  isSameHash,
  UID_BYTES,
} from '../../protocols/eventlog/entry.ts'
import { encodeFrame, encodeStatement, framePlace } from '../../protocols/eventlog/frame.ts'
import { SALT_BYTES, SealCounter, sealWith } from '../../protocols/sealed/sealed.ts'
import { replaceHead, writeHead } from './head-file.ts'
import { GENERATION } from './keys.ts'
import { ASIDE_FOLDER, HEAD_FILE, listSegments, segmentPath, writeAll, writeNewFile } from './segment-file.ts'
import { walkSegment } from './walk.ts'
import type { Clock, Random } from '../../kernel/index.ts'
import type { EntryKind } from '../../protocols/eventlog/entry.ts'
import type { FrameType, GapStatement, LogHead } from '../../protocols/eventlog/frame.ts'
import type { Examined, LogPlace } from './examine.ts'
import type { Segment } from './segment-file.ts'
import type { SparseIndex } from './sparse-index.ts'
import type { ChainPoint } from './walk.ts'

export interface NewEntry {
  readonly kind: EntryKind
  readonly payload: Uint8Array
}

/** What a backup holds of a log. */
export type RestoredPart =
  | { readonly type: 'entry'; readonly encoded: Uint8Array }
  | { readonly type: 'gap'; readonly gap: GapStatement }

interface Files {
  readonly segment: FileHandle
  readonly head: FileHandle
}

/** One call at a time; every call may fail with an error of the disk, after which the next one mends first. */
export class TailWriter {
  readonly #place: LogPlace
  readonly #clock: Clock
  readonly #random: Random
  readonly #index: SparseIndex
  readonly #counter: SealCounter
  #head: LogHead | null = null
  #segments: readonly Segment[] = []
  #startedAtMs = 0
  #files: Files | null = null
  /** Whether a write failed: then the disk may hold more than was acknowledged. */
  #isUnsure = false

  constructor(
    place: LogPlace,
    services: { readonly clock: Clock; readonly random: Random; readonly index: SparseIndex },
  ) {
    this.#place = place
    this.#clock = services.clock
    this.#random = services.random
    this.#index = services.index
    this.#counter = new SealCounter(() => services.random.bytes(SALT_BYTES))
  }

  /** What was acknowledged; `null` when it is not known. */
  get head(): LogHead | null {
    return this.#head
  }

  /** Oldest first; the last one is written. */
  get segments(): readonly Segment[] {
    return this.#segments
  }

  get bytes(): number {
    const current = this.#head?.segment
    const older = this.#segments.filter(({ number }) => number !== current)
    return older.reduce((sum, { bytes }) => sum + bytes, this.#head?.end ?? 0)
  }

  get ageMs(): number {
    return this.#clock.nowMs() - this.#startedAtMs
  }

  /** Knows what is there and changes nothing: for a log that waits for its repair. */
  show(head: LogHead | null, segments: readonly Segment[]): void {
    this.#head = head
    this.#segments = segments
  }

  /**
   * Takes a sound log over: what a crash left behind its end is cut, what is no part of it moved aside, and what no head
   * speaks of yet is durable before one does.
   */
  async load(found: Examined & { readonly kind: 'sound' }): Promise<void> {
    this.show(found.head, found.segments)
    this.#startedAtMs = found.startedAtMs ?? Math.floor(this.#clock.nowMs())
    if (found.torn !== null) await cutFile(found.torn.path, found.torn.end)
    for (const { path, number } of found.strays) {
      if (number < found.head.first.segment) await rm(path, { force: true })
      else await this.setAside(path)
    }
    for (const { path } of found.adopted) await syncFile(path)
    if (found.torn !== null || found.strays.length + found.adopted.length > 0) await syncFolder(this.#place.dir)
    if (!found.isHeadWhole) await this.replaceHead(found.head)
  }

  /** Makes the log. Only where none is. */
  async create(): Promise<LogHead> {
    const { dir, name } = this.#place
    const uid = this.#random.bytes(UID_BYTES)
    const previous = hexOf(genesisHash(name, uid))
    // A creation that a crash has cut short, before anything was acknowledged.
    await rm(dir, { recursive: true, force: true })
    const head = await this.createAt({ uid: hexOf(uid), segment: 1, sequence: 1, previous })
    await syncFolder(dirname(dir))
    return head
  }

  /** A log that begins with the entry `sequence`: a new one, or one whose past was lost or was left behind. */
  async createAt(begin: { uid: string; segment: number; sequence: number; previous: string }): Promise<LogHead> {
    const { dir, name } = this.#place
    const { uid, ...first } = begin
    await mkdir(dir, { recursive: true, mode: 0o700 })
    const started = { uid, number: first.segment, first: first.sequence, previous: first.previous }
    const segment = await this.#newSegment(started)
    this.#segments = [segment]
    const last = { sequence: first.sequence - 1, hash: first.previous, segment: first.segment, end: segment.bytes }
    return await this.replaceHead({ name, uid, writes: 0, ...last, first })
  }

  /** Durable when it resolves. */
  async add(entries: readonly NewEntry[]): Promise<LogHead> {
    const head = this.requireHead()
    const atMs = Math.max(0, Math.floor(this.#clock.nowMs()))
    let chain = { next: head.sequence + 1, previous: hashOf(head.hash) }
    const frames = entries.map(({ kind, payload }) => {
      const encoded = encodeEntry({ kind, sequence: chain.next, atMs, previous: chain.previous, payload })
      chain = { next: chain.next + 1, previous: entryHash(encoded) }
      return { type: 'entry' as const, plaintext: encoded }
    })
    return await this.#write(frames, chain)
  }

  /** Adds entries and gaps that another log of the same beginning had. @throws RangeError when they do not follow */
  async addRestored(parts: readonly RestoredPart[]): Promise<LogHead> {
    const head = this.requireHead()
    let chain = { next: head.sequence + 1, previous: hashOf(head.hash) }
    const frames = parts.map((part) => {
      if (part.type === 'gap') {
        if (part.gap.from !== chain.next || part.gap.to < part.gap.from) throw new RangeError('a gap is out of order')
        chain = { next: part.gap.to + 1, previous: hashOf(part.gap.previous) }
        return { type: 'gap' as const, plaintext: encodeStatement(part.gap) }
      }
      const entry = decodeEntry(part.encoded)
      if (entry?.sequence !== chain.next || !isSameHash(entry.previous, chain.previous)) {
        throw new RangeError('an entry is out of order')
      }
      chain = { next: chain.next + 1, previous: entryHash(part.encoded) }
      return { type: 'entry' as const, plaintext: part.encoded }
    })
    return await this.#write(frames, chain)
  }

  /** Ends the segment that is written and begins the next. */
  async turn(): Promise<void> {
    const { head: headFile } = await this.#ready()
    const head = this.requireHead()
    await this.#unsurely(async () => {
      const { uid, sequence, hash } = head
      const segment = await this.#newSegment({ uid, number: head.segment + 1, first: sequence + 1, previous: hash })
      const ended = this.#segments.map((one) => (one.number === head.segment ? { ...one, bytes: head.end } : one))
      await syncFolder(this.#place.dir)
      await this.#putHead(headFile, { ...head, segment: segment.number, end: segment.bytes })
      this.#segments = [...ended, segment]
    })
    await this.release()
  }

  /** Deletes the segments before `number`. */
  async dropBefore(number: number): Promise<void> {
    const oldest = this.#segments.find((segment) => segment.number === number)
    if (oldest === undefined) return
    const previous = await this.#previousOf(oldest)
    const { head: headFile } = await this.#ready()
    await this.#unsurely(async () => {
      const first = { segment: number, sequence: oldest.first, previous }
      await this.#putHead(headFile, { ...this.requireHead(), first })
    })
    const gone = this.#segments.filter((segment) => segment.number < number)
    this.#segments = this.#segments.filter((segment) => segment.number >= number)
    for (const { path, number: old } of gone) {
      this.#index.forget(old)
      await rm(path, { force: true })
    }
    await syncFolder(this.#place.dir)
  }

  /** Puts `head` in the place of whatever head there is. */
  async replaceHead(head: LogHead): Promise<LogHead> {
    await this.release()
    this.#head = await replaceHead(this.#place.dir, head, { ...this.#place, counter: this.#counter })
    await syncFolder(this.#place.dir)
    this.#isUnsure = false
    return this.#head
  }

  /** Moves a file into the folder of what was set aside, under a name that is free. */
  async setAside(path: string): Promise<void> {
    const folder = join(this.#place.dir, ASIDE_FOLDER)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await rename(path, join(folder, `${basename(path)}.${hexOf(this.#random.bytes(4))}`))
    await syncFolder(folder)
  }

  /** A frame of this log, sealed for its place. */
  frame(type: FrameType, segment: number, plaintext: Uint8Array): Uint8Array {
    const { keys, logId } = this.#place
    const sealed = sealWith(
      ({ generation, salt }) => keys.sealing('segment', generation, salt),
      this.#counter.take(GENERATION),
      { place: framePlace(type, logId, segment), plaintext },
    )
    return encodeFrame(type, sealed)
  }

  requireHead(): LogHead {
    if (this.#head === null) throw new TypeError('the head of the log is not known')
    return this.#head
  }

  /** Closes the files; the next call opens them. */
  async release(): Promise<void> {
    const files = this.#files
    this.#files = null
    // Closing reports what syncing has reported before.
    await Promise.allSettled([files?.segment.close(), files?.head.close()])
  }

  async #write(
    parts: readonly { readonly type: FrameType; readonly plaintext: Uint8Array }[],
    chain: ChainPoint,
  ): Promise<LogHead> {
    const files = await this.#ready()
    const head = this.requireHead()
    const bytes = Buffer.concat(parts.map(({ type, plaintext }) => this.frame(type, head.segment, plaintext)))
    const next = { ...head, sequence: chain.next - 1, hash: hexOf(chain.previous), end: head.end + bytes.byteLength }
    return await this.#unsurely(async () => {
      await writeAll(files.segment, bytes, head.end)
      await files.segment.datasync()
      const written = await this.#putHead(files.head, next)
      this.#index.note(head.segment, { offset: written.end, chain })
      return written
    })
  }

  async #ready(): Promise<Files> {
    if (this.#files !== null && !this.#isUnsure) return this.#files
    await this.release()
    const head = this.requireHead()
    const current = this.#segments.find(({ number }) => number === head.segment)
    if (current === undefined) throw new TypeError('the segment that is written is not known')
    const opened = await Promise.allSettled([open(current.path, 'r+'), open(join(this.#place.dir, HEAD_FILE), 'r+')])
    const [segment, headFile] = opened
    if (segment.status === 'rejected' || headFile.status === 'rejected') {
      for (const one of opened) if (one.status === 'fulfilled') await one.value.close()
      throw segment.status === 'rejected' ? segment.reason : (headFile as PromiseRejectedResult).reason
    }
    this.#files = { segment: segment.value, head: headFile.value }
    if (this.#isUnsure) await this.#mend(this.#files, head)
    this.#isUnsure = false
    return this.#files
  }

  /**
   * After a failed write the disk may hold entries, a head or a segment that nobody was told of. First the head says
   * again what was acknowledged (in the place the failed one had), then what lies behind it goes: a crash in between
   * leaves entries behind a head, never a head without its entries.
   */
  async #mend(files: Files, head: LogHead): Promise<void> {
    await this.#putHead(files.head, head)
    await files.segment.truncate(head.end)
    await files.segment.datasync()
    for (const { number, path } of await listSegments(this.#place.dir)) {
      if (number > head.segment) await rm(path, { force: true })
    }
    await syncFolder(this.#place.dir)
  }

  async #putHead(file: FileHandle, head: LogHead): Promise<LogHead> {
    const next = { ...head, writes: head.writes + 1 }
    await writeHead(file, next, { ...this.#place, counter: this.#counter })
    this.#head = next
    return next
  }

  async #unsurely<T>(work: () => Promise<T>): Promise<T> {
    this.#isUnsure = true
    const result = await work()
    this.#isUnsure = false
    return result
  }

  async #newSegment(start: {
    readonly uid: string
    readonly number: number
    readonly first: number
    readonly previous: string
  }): Promise<Segment> {
    const { dir, name } = this.#place
    const { uid, number, first, previous } = start
    const path = segmentPath(dir, number, first)
    this.#startedAtMs = Math.max(0, Math.floor(this.#clock.nowMs()))
    const statement = { name, uid, segment: number, first, previous, atMs: this.#startedAtMs }
    const frame = this.frame('start', number, encodeStatement(statement))
    await writeNewFile(path, frame)
    return { number, first, path, bytes: frame.byteLength }
  }

  async #previousOf(segment: Segment): Promise<string> {
    for await (const step of walkSegment({ ...this.#place, segment })) return hexOf(step.chain.previous)
    throw new TypeError('a segment has a start')
  }
}

async function cutFile(path: string, end: number): Promise<void> {
  await truncate(path, end)
  await syncFile(path)
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r+')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
