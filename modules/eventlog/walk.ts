/** One segment, frame by frame, each proven against its predecessor, in bounded memory. spec/NZ-LOG-01.md §3. */
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { isErrno } from '../../kernel/index.ts'
import { decodeEntry, entryHash, hashOf, hexOf, isSameHash } from '../../protocols/eventlog/entry.ts'
import {
  decodeFrameHead,
  decodeGap,
  decodeSegmentStart,
  FRAME_HEAD_BYTES,
  framePlace,
} from '../../protocols/eventlog/frame.ts'
import { unsealWith } from '../../protocols/sealed/sealed.ts'
import type { PlainEntry } from '../../protocols/eventlog/entry.ts'
import type { FrameType, GapStatement, SegmentStart } from '../../protocols/eventlog/frame.ts'
import type { LogKeys } from './keys.ts'
import type { Segment } from './segment-file.ts'

const READ_BYTES = 65_536

/** Which entry comes next, and what it has for its predecessor. */
export interface ChainPoint {
  readonly next: number
  readonly previous: Uint8Array
}

/** Every step says where its frame ends and how the chain goes on behind it. */
export type Step = { readonly end: number; readonly chain: ChainPoint } & (
  | { readonly type: 'start'; readonly start: SegmentStart }
  | { readonly type: 'entry'; readonly entry: PlainEntry }
  | { readonly type: 'gap'; readonly gap: GapStatement }
)

/** What lies at `offset` is not what was written there. All before it is proven. */
export class SegmentDamage extends Error {
  override readonly name = 'SegmentDamage'
  readonly offset: number
  /** The entry that cannot be proven. */
  readonly next: number

  constructor(why: string, { offset, next }: { readonly offset: number; readonly next: number }) {
    super(why)
    this.offset = offset
    this.next = next
  }
}

export interface WalkInit {
  readonly keys: LogKeys
  readonly logId: Uint8Array
  readonly segment: Pick<Segment, 'number' | 'first' | 'path'>
  /** Where to begin; default: at the start of the segment. */
  readonly from?: { readonly offset: number; readonly chain: ChainPoint }
  /** What must be told of the start, where it is known. */
  readonly expected?: ChainPoint | null
  /** Frames up to here are wanted; default: all of the file. */
  readonly end?: number
}

/** @throws SegmentDamage; errors of the disk as they are */
export async function* walkSegment(init: WalkInit): AsyncGenerator<Step> {
  const { segment, from } = init
  let handle
  try {
    handle = await open(segment.path, 'r')
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error
    throw new SegmentDamage('a segment is missing', { offset: 0, next: init.expected?.next ?? segment.first })
  }
  try {
    const end = init.end ?? (await handle.stat()).size
    const bytes = new ByteReader(handle, from?.offset ?? 0)
    const walk = new Walk(init, end)
    while (bytes.offset < end) yield await walk.step(bytes)
    if (from === undefined && end === 0) throw walk.damage('a segment is empty', 0)
  } finally {
    await handle.close()
  }
}

class Walk {
  readonly #init: WalkInit
  readonly #end: number
  /** What is associated with each type of frame here. */
  readonly #places: Readonly<Record<FrameType, Uint8Array>>
  #chain: ChainPoint | null

  constructor(init: WalkInit, end: number) {
    this.#init = init
    this.#end = end
    const placeOf = (type: FrameType): Uint8Array => framePlace(type, init.logId, init.segment.number)
    this.#places = { start: placeOf('start'), entry: placeOf('entry'), gap: placeOf('gap') }
    this.#chain = init.from?.chain ?? null
  }

  damage(why: string, offset: number): SegmentDamage {
    const next = this.#chain?.next ?? this.#init.expected?.next ?? this.#init.segment.first
    return new SegmentDamage(why, { offset, next })
  }

  async step(bytes: ByteReader): Promise<Step> {
    const { keys } = this.#init
    const { offset } = bytes
    if (!bytes.has(FRAME_HEAD_BYTES)) await bytes.fill(FRAME_HEAD_BYTES)
    const head = bytes.take(FRAME_HEAD_BYTES)
    const frame = head === null ? null : decodeFrameHead(head)
    if (frame === null) throw this.damage('something is no part of the log', offset)
    const isWithin = offset + FRAME_HEAD_BYTES + frame.length <= this.#end
    if (isWithin && !bytes.has(frame.length)) await bytes.fill(frame.length)
    const sealed = isWithin ? bytes.take(frame.length) : null
    if (sealed === null) throw this.damage('the segment ends too early', offset)
    const place = this.#places[frame.type]
    const opened = unsealWith(({ generation, salt }) => keys.sealing('segment', generation, salt), sealed, place)
    if (opened === null) throw this.damage('something was changed or moved', offset)
    const step = this.#stepOf(frame.type, opened.plaintext, bytes.offset)
    if (step === null) throw this.damage('something is not in its order', offset)
    this.#chain = step.chain
    return step
  }

  #stepOf(type: FrameType, plaintext: Uint8Array, end: number): Step | null {
    const chain = this.#chain
    if (type === 'start') {
      const start = decodeSegmentStart(plaintext)
      return start === null || chain !== null ? null : this.#started(start, end)
    }
    if (chain === null) return null
    if (type === 'entry') {
      const entry = decodeEntry(plaintext)
      if (entry === null || entry.sequence !== chain.next || !isSameHash(entry.previous, chain.previous)) return null
      return { type, entry, end, chain: { next: chain.next + 1, previous: entryHash(plaintext) } }
    }
    const gap = decodeGap(plaintext)
    if (gap === null || gap.from !== chain.next || gap.to < gap.from) return null
    return { type, gap, end, chain: { next: gap.to + 1, previous: hashOf(gap.previous) } }
  }

  #started(start: SegmentStart, end: number): Step | null {
    const { segment, expected } = this.#init
    if (start.segment !== segment.number || start.first !== segment.first) return null
    if (expected !== undefined && expected !== null) {
      if (start.first !== expected.next || start.previous !== hexOf(expected.previous)) return null
    }
    return { type: 'start', start, end, chain: { next: start.first, previous: hashOf(start.previous) } }
  }
}

/** Bytes of a file in order; what `take` gives is good until the next `fill`. */
class ByteReader {
  readonly #handle: FileHandle
  #buffer = Buffer.alloc(READ_BYTES)
  #from = 0
  #to = 0
  /** Place in the file of what `take` gives next. */
  offset: number

  constructor(handle: FileHandle, offset: number) {
    this.#handle = handle
    this.offset = offset
  }

  /** Whether so many can be taken without reading. */
  has(length: number): boolean {
    return this.#to - this.#from >= length
  }

  /** `null` when the file has fewer, or was not asked for them. */
  take(length: number): Uint8Array | null {
    if (!this.has(length)) return null
    const bytes = this.#buffer.subarray(this.#from, this.#from + length)
    this.#from += length
    this.offset += length
    return bytes
  }

  /** Reads at least so many, if the file has them. `length` was bounded by the caller. */
  async fill(length: number): Promise<void> {
    const held = this.#buffer.subarray(this.#from, this.#to)
    const roomy = length > this.#buffer.byteLength ? Buffer.alloc(length + READ_BYTES) : this.#buffer
    roomy.set(held)
    this.#buffer = roomy
    this.#to = held.byteLength
    this.#from = 0
    while (this.#to < length) {
      const room = this.#buffer.byteLength - this.#to
      const { bytesRead } = await this.#handle.read(this.#buffer, this.#to, room, this.offset + this.#to)
      if (bytesRead === 0) return
      this.#to += bytesRead
    }
  }
}
