/** Where a sender's bytes come from: a file that can be read again, or a stream that cannot. */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { encodeDataFrame, writeDataHeader } from '../../protocols/transfer/frame.ts'
import { FRAME_HEADER_BYTES, MAX_DATA_BYTES, TRANSFER_ID_BYTES } from '../../protocols/transfer/limits.ts'
import { hashPrefix } from './part-file.ts'
import { transfersErrors } from './service.ts'
import type { Hash } from 'node:crypto'
import type { BigIntStats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'

export interface TransferSource {
  readonly size: number | null
  readonly token: Uint8Array | null
  /** The next bytes as a data frame with a payload of 1 to `maxBytes`; `null` at the end. One call at a time. */
  read(maxBytes: number): Promise<Uint8Array | null>
  /** Goes on at `offset`, with the hash state of everything before; `null` when it cannot be read again. */
  rewind(offset: number): Promise<Hash | null>
  /** Takes back a frame that nobody needs any more. */
  recycle(frame: Uint8Array): void
  /** @throws NZ_TRANSFERS_SOURCE_CHANGED when what was read may be a mixture */
  verify(): Promise<void>
  close(): Promise<void>
}

/** Frames of full size kept for reuse: those of one window. */
const MAX_POOLED_FRAMES = 40

/** Frames filled by one read of the file: each read is a thread to wake, and one that waits for it. */
const FRAMES_PER_READ = 4

export class FileSource implements TransferSource {
  readonly size: number
  readonly token: Uint8Array
  readonly #handle: FileHandle
  readonly #stats: BigIntStats
  readonly #path: string
  readonly #pool: Uint8Array[] = []
  /** Read and not yet given, in order. */
  readonly #ahead: Uint8Array[] = []
  #readOffset = 0
  #reading: Promise<void> | null = null

  private constructor(path: string, handle: FileHandle, stats: BigIntStats, name: string) {
    this.#path = path
    this.#handle = handle
    this.#stats = stats
    this.size = Number(stats.size)
    this.token = fileToken(name, stats)
  }

  /** @throws NZ_TRANSFERS_SOURCE_UNREADABLE */
  static async open(path: string, name: string): Promise<FileSource> {
    let handle: FileHandle | undefined
    try {
      // Without O_NONBLOCK the open of a named pipe would wait for its writer.
      handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
      const stats = await handle.stat({ bigint: true })
      if (!stats.isFile()) throw new Error('not a regular file')
      return new FileSource(path, handle, stats, name)
    } catch (cause) {
      await handle?.close()
      throw transfersErrors.NZ_TRANSFERS_SOURCE_UNREADABLE({ cause, data: { path }, why: reasonOf(cause) })
    }
  }

  async read(maxBytes: number): Promise<Uint8Array | null> {
    if (this.#ahead.length === 0) await this.#readOn()
    const frame = this.#ahead.shift()
    if (frame === undefined) return null
    // What fails here fails again when it is wanted.
    if (this.#ahead.length < FRAMES_PER_READ / 2) this.#readOn().catch(() => undefined)
    const payload = frame.subarray(FRAME_HEADER_BYTES)
    if (payload.byteLength <= maxBytes) return frame
    this.#ahead.unshift(encodeDataFrame(payload.subarray(maxBytes)))
    return encodeDataFrame(payload.subarray(0, maxBytes))
  }

  async rewind(offset: number): Promise<Hash | null> {
    if (offset > this.size) return null
    await this.#reading?.catch(() => undefined)
    try {
      const hash = await hashPrefix(this.#handle, offset)
      for (const frame of this.#ahead.splice(0)) this.recycle(frame)
      this.#readOffset = offset
      return hash
    } catch (cause) {
      throw transfersErrors.NZ_TRANSFERS_SOURCE_FAILED({ cause, data: { path: this.#path } })
    }
  }

  recycle(frame: Uint8Array): void {
    if (frame.byteLength === FRAME_HEADER_BYTES + MAX_DATA_BYTES && this.#pool.length < MAX_POOLED_FRAMES) {
      this.#pool.push(frame)
    }
  }

  async verify(): Promise<void> {
    const { size, mtimeNs } = await this.#handle.stat({ bigint: true })
    if (size !== this.#stats.size || mtimeNs !== this.#stats.mtimeNs) throw this.#changed()
  }

  async close(): Promise<void> {
    await this.#reading?.catch(() => undefined)
    await this.#handle.close()
  }

  #frame(length: number): Uint8Array {
    const pooled = length === MAX_DATA_BYTES ? this.#pool.pop() : undefined
    return pooled ?? new Uint8Array(FRAME_HEADER_BYTES + length)
  }

  /** Reads the next frames unless that is under way. */
  async #readOn(): Promise<void> {
    this.#reading ??= this.#readFrames().finally(() => (this.#reading = null))
    await this.#reading
  }

  async #readFrames(): Promise<void> {
    const frames: Uint8Array[] = []
    let end = this.#readOffset
    while (frames.length < FRAMES_PER_READ && end < this.size) {
      const length = Math.min(MAX_DATA_BYTES, this.size - end)
      const frame = this.#frame(length)
      writeDataHeader(frame, length)
      frames.push(frame)
      end += length
    }
    await this.#fill(frames.map((frame) => frame.subarray(FRAME_HEADER_BYTES)))
    this.#readOffset = end
    this.#ahead.push(...frames)
  }

  async #fill(payloads: readonly Uint8Array[]): Promise<void> {
    let rest = [...payloads]
    for (let at = this.#readOffset; rest.length > 0;) {
      const bytesRead = await this.#readAt(rest, at)
      if (bytesRead === 0) throw this.#changed()
      at += bytesRead
      rest = after(rest, bytesRead)
    }
  }

  async #readAt(payloads: readonly Uint8Array[], at: number): Promise<number> {
    try {
      return (await this.#handle.readv(payloads, at)).bytesRead
    } catch (cause) {
      throw transfersErrors.NZ_TRANSFERS_SOURCE_FAILED({ cause, data: { path: this.#path } })
    }
  }

  #changed(): Error {
    return transfersErrors.NZ_TRANSFERS_SOURCE_CHANGED({ data: { path: this.#path } })
  }
}

export class PullSource implements TransferSource {
  readonly size = null
  readonly token = null
  readonly #pull: () => Promise<Uint8Array | null>
  #rest: Uint8Array = new Uint8Array(0)

  constructor(pull: () => Promise<Uint8Array | null>) {
    this.#pull = pull
  }

  async read(maxBytes: number): Promise<Uint8Array | null> {
    while (this.#rest.byteLength === 0) {
      const bytes = await this.#next()
      if (bytes === null) return null
      this.#rest = bytes
    }
    const piece = this.#rest.subarray(0, Math.min(maxBytes, MAX_DATA_BYTES))
    this.#rest = this.#rest.subarray(piece.byteLength)
    return encodeDataFrame(piece)
  }

  async rewind(): Promise<null> {
    return null
  }

  recycle(): void {}

  async verify(): Promise<void> {}

  async close(): Promise<void> {}

  async #next(): Promise<Uint8Array | null> {
    try {
      return await this.#pull()
    } catch (cause) {
      throw transfersErrors.NZ_TRANSFERS_SOURCE_FAILED({ cause })
    }
  }
}

/** What is left of `parts` without their first `byteLength` bytes. */
function after(parts: readonly Uint8Array[], byteLength: number): Uint8Array[] {
  let skipped = byteLength
  return parts.flatMap((part) => {
    const rest = part.subarray(Math.min(skipped, part.byteLength))
    skipped -= part.byteLength - rest.byteLength
    return rest.byteLength === 0 ? [] : [rest]
  })
}

/** The same for the same unchanged file offered under the same name; says nothing about its content. */
function fileToken(name: string, { size, mtimeNs, ino, dev }: BigIntStats): Uint8Array {
  const text = JSON.stringify(['nzcore/transfer-token/1', name, `${size}`, `${mtimeNs}`, `${dev}`, `${ino}`])
  return new Uint8Array(createHash('sha256').update(text).digest().subarray(0, TRANSFER_ID_BYTES))
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'the user who runs the node may not read it',
  EPERM: 'the user who runs the node may not read it',
  ELOOP: 'its links lead in a circle',
  ENAMETOOLONG: 'the name is too long',
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error && 'code' in cause)) return 'it is not a regular file'
  const code = String(cause.code)
  return REASONS[code] ?? code
}
