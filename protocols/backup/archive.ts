/**
 * What is inside of an archive: a head, the items of each part, a manifest and its signature. Pure: bytes in, frames
 * out. spec/NZ-BACKUP-01.md §3.
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { archiveErrors, damagedArchive } from './errors.ts'
import { MAX_ITEM_BYTES } from './part.ts'

export const MAGIC = Buffer.from('nzcore-backup/1\n', 'latin1')
const MAGIC_FAMILY = Buffer.from('nzcore-backup/', 'latin1')
/** type u8 · length u32 */
const FRAME_HEADER_BYTES = 5
const SIGNATURE_BYTES = 64
/** The largest head, part or manifest. */
const MAX_DOCUMENT_BYTES = 65_536
/** Parts of one archive. */
export const MAX_PARTS = 32
/** Archives of one chain: a full one and its incrementals. */
export const MAX_CHAIN = 256

const TYPES = { head: 1, part: 2, item: 3, manifest: 4, signature: 5 } as const
type FrameType = keyof typeof TYPES

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`))
const count = z.number().int().min(0)
const partName = z.string().regex(/^[a-z][a-z0-9-]{0,31}$/)

/** Names one archive: its own id, and the SHA-256 of its file as it was written. */
export const ArchiveReference = z.strictObject({ id: hex(16), sha256: hex(32) })
export type ArchiveReference = z.infer<typeof ArchiveReference>

export const ArchiveHead = z.strictObject({
  id: hex(16),
  peerId: z.string().min(1).max(90),
  createdAtMs: count,
  /** What this one goes on from; `null` for a full backup. */
  parent: ArchiveReference.nullable(),
  /** Archives before it in its chain. */
  depth: count.max(MAX_CHAIN - 1),
})
export type ArchiveHead = z.infer<typeof ArchiveHead>

const PartHead = z.strictObject({ name: partName, isFull: z.boolean() })
export type PartHead = z.infer<typeof PartHead>

export const PartEntry = z.strictObject({
  ...PartHead.shape,
  items: count,
  bytes: count,
  root: z.string().regex(/^[\x21-\x7e]{1,128}$/),
})
export type PartEntry = z.infer<typeof PartEntry>

export const Manifest = z.strictObject({
  /** SHA-256 of every byte before the manifest's frame. */
  digest: hex(32),
  parts: z.array(PartEntry).max(MAX_PARTS),
})
export type Manifest = z.infer<typeof Manifest>

/** Writes the frames of one archive, in their order. */
export class ArchiveEncoder {
  readonly #digest = createHash('sha256')

  head(head: ArchiveHead): Uint8Array {
    return this.#counted(Buffer.concat([MAGIC, frame('head', json(ArchiveHead.parse(head)))]))
  }

  part(part: PartHead): Uint8Array {
    return this.#counted(frame('part', json(PartHead.parse(part))))
  }

  item(item: Uint8Array): Uint8Array {
    if (item.byteLength === 0 || item.byteLength > MAX_ITEM_BYTES)
      throw new RangeError('an item has 1 to MAX_ITEM_BYTES bytes')
    return this.#counted(frame('item', item))
  }

  /** The manifest and its signature. `sign` gets the manifest's bytes. */
  end(parts: readonly PartEntry[], sign: (manifest: Uint8Array) => Uint8Array): Uint8Array {
    const manifest = json(Manifest.parse({ digest: this.#digest.digest('hex'), parts }))
    return Buffer.concat([frame('manifest', manifest), frame('signature', sign(manifest))])
  }

  #counted(bytes: Uint8Array): Uint8Array {
    this.#digest.update(bytes)
    return bytes
  }
}

export type ArchiveEvent =
  | { readonly kind: 'head'; readonly head: ArchiveHead }
  | { readonly kind: 'part'; readonly part: PartHead }
  | { readonly kind: 'item'; readonly item: Uint8Array }
  /** Last: digest, counts and signature fit. */
  | { readonly kind: 'manifest'; readonly manifest: Manifest }

/** Reads the frames of one archive from pieces of any size, and holds them against each other. Holds one frame. */
export class ArchiveDecoder {
  readonly #verify: (manifest: Uint8Array, signature: Uint8Array) => boolean
  readonly #digest = createHash('sha256')
  readonly #seen: { name: string; isFull: boolean; items: number; bytes: number }[] = []
  /** What is read now, of the size it must have, and how much of it is there. */
  #wanted = new Uint8Array(MAGIC.byteLength)
  #filled = 0
  #type: FrameType | 'magic' | null = 'magic'
  #expected: readonly FrameType[] = ['head']
  #manifest: { readonly bytes: Uint8Array; readonly manifest: Manifest } | null = null

  /** `verify` says whether the identity the archive must come from has signed the manifest. */
  constructor(verify: (manifest: Uint8Array, signature: Uint8Array) => boolean) {
    this.#verify = verify
  }

  /** @throws NZ_BACKUP_ARCHIVE_DAMAGED, NZ_BACKUP_VERSION_UNKNOWN */
  *push(bytes: Uint8Array): Generator<ArchiveEvent> {
    let rest = bytes
    while (rest.byteLength > 0) {
      if (this.#expected.length === 0) throw damagedArchive('bytes follow its end')
      const taken = rest.subarray(0, this.#wanted.byteLength - this.#filled)
      this.#wanted.set(taken, this.#filled)
      this.#filled += taken.byteLength
      rest = rest.subarray(taken.byteLength)
      if (this.#filled === this.#wanted.byteLength) yield* this.#take(this.#wanted)
    }
  }

  /** @throws NZ_BACKUP_ARCHIVE_DAMAGED when the archive is not whole */
  finish(): void {
    if (this.#expected.length > 0) throw damagedArchive('it has no end')
  }

  *#take(bytes: Uint8Array): Generator<ArchiveEvent> {
    if (this.#type === 'magic') {
      if (!MAGIC.equals(bytes)) throw notMagic(bytes)
      this.#digest.update(bytes)
      this.#await(null, FRAME_HEADER_BYTES)
      return
    }
    if (this.#type === null) {
      this.#header(bytes)
      return
    }
    const type = this.#type
    this.#await(null, FRAME_HEADER_BYTES)
    const event = this.#body(type, bytes)
    if (event !== null) yield event
  }

  #header(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const type = this.#expected.find((name) => TYPES[name] === view.getUint8(0))
    const length = view.getUint32(1)
    if (type === undefined) throw damagedArchive('its frames are out of order')
    const limit = { item: MAX_ITEM_BYTES, signature: SIGNATURE_BYTES }[type as string] ?? MAX_DOCUMENT_BYTES
    if (length === 0 || length > limit) throw damagedArchive('a frame is larger than it may be')
    if (type !== 'manifest' && type !== 'signature') this.#digest.update(bytes)
    this.#await(type, length)
  }

  #body(type: FrameType, bytes: Uint8Array): ArchiveEvent | null {
    if (type !== 'manifest' && type !== 'signature') this.#digest.update(bytes)
    switch (type) {
      case 'head':
        this.#expected = ['part', 'manifest']
        return { kind: 'head', head: parsed(ArchiveHead, bytes) }
      case 'part': {
        const part = parsed(PartHead, bytes)
        if (this.#seen.length >= MAX_PARTS || this.#seen.some(({ name }) => name === part.name)) {
          throw damagedArchive('it names a part twice, or too many')
        }
        this.#seen.push({ ...part, items: 0, bytes: 0 })
        this.#expected = ['item', 'part', 'manifest']
        return { kind: 'part', part }
      }
      case 'item': {
        const part = this.#seen.at(-1)
        if (part !== undefined) {
          part.items += 1
          part.bytes += bytes.byteLength
        }
        return { kind: 'item', item: bytes }
      }
      case 'manifest':
        this.#manifest = { bytes, manifest: parsed(Manifest, bytes) }
        this.#expected = ['signature']
        return null
      case 'signature':
        return { kind: 'manifest', manifest: this.#proven(bytes) }
    }
  }

  #proven(signature: Uint8Array): Manifest {
    this.#expected = []
    if (this.#manifest === null) throw damagedArchive('it has no manifest')
    const { bytes, manifest } = this.#manifest
    if (signature.byteLength !== SIGNATURE_BYTES || !this.#verify(bytes, signature)) {
      throw archiveErrors.NZ_BACKUP_NOT_OURS({ why: 'its manifest was not signed by this identity' })
    }
    if (manifest.digest !== this.#digest.digest('hex'))
      throw damagedArchive('its contents are not those it was signed for')
    const isCounted = ({ name, isFull, items, bytes: size }: PartEntry, at: number): boolean => {
      const seen = this.#seen[at]
      return seen?.name === name && seen.isFull === isFull && seen.items === items && seen.bytes === size
    }
    if (manifest.parts.length !== this.#seen.length || !manifest.parts.every(isCounted)) {
      throw damagedArchive('its manifest counts otherwise')
    }
    return manifest
  }

  #await(type: FrameType | null, bytes: number): void {
    this.#type = type
    // An own buffer each time: items are given away.
    this.#wanted = new Uint8Array(bytes)
    this.#filled = 0
  }
}

function notMagic(bytes: Uint8Array): Error {
  const isOfAnotherVersion = MAGIC_FAMILY.equals(bytes.subarray(0, MAGIC_FAMILY.byteLength))
  return isOfAnotherVersion ? archiveErrors.NZ_BACKUP_VERSION_UNKNOWN() : damagedArchive('it holds no backup')
}

function parsed<T>(schema: z.ZodType<T>, bytes: Uint8Array): T {
  try {
    return schema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)))
  } catch (error) {
    throw archiveErrors.NZ_BACKUP_ARCHIVE_DAMAGED({ why: 'a document in it is malformed', cause: error })
  }
}

function json(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value), 'utf8')
}

function frame(type: FrameType, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + body.byteLength)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, TYPES[type])
  view.setUint32(1, body.byteLength)
  bytes.set(body, FRAME_HEADER_BYTES)
  return bytes
}
