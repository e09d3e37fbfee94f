/** The way back: every archive of a chain is proven, then all are put into the parts of an empty node. */
import { basename } from 'node:path'
import { chainIn } from './archive-chain.ts'
import { readArchive } from './read-archive.ts'
import { BACKUP_PURPOSE, recoveryKeyOf } from './recovery-key.ts'
import { archiveErrors, backupErrors } from './service.ts'
import type { Manifest } from '../../protocols/backup/archive.ts'
import type { ArchiveEvent } from '../../protocols/backup/archive.ts'
import type { BackupPart } from '../../protocols/backup/part.ts'
import type { IdentityService } from '../identity/service.ts'
import type { Reader } from './read-archive.ts'
import type { ChainLink, PartRoot, RestoreReport, RestoreService } from './service.ts'

export interface RestoreInit {
  readonly identity: Pick<IdentityService, 'self' | 'deriveKey' | 'verify'>
  readonly parts: readonly BackupPart[]
}

export class Restore implements RestoreService {
  readonly #identity: RestoreInit['identity']
  readonly #parts: readonly BackupPart[]

  constructor({ identity, parts }: RestoreInit) {
    this.#identity = identity
    this.#parts = parts
  }

  async chainIn(
    folder: string,
    options: { readonly at?: string; readonly signal: AbortSignal },
  ): Promise<readonly ChainLink[]> {
    return await chainIn(folder, this.#reader(), { ...options, peerId: this.#identity.self.peerId })
  }

  async restore(chain: readonly ChainLink[], { signal }: { readonly signal: AbortSignal }): Promise<RestoreReport> {
    const reader = this.#reader()
    const manifests: Manifest[] = []
    for (const [at, link] of chain.entries()) manifests.push(await this.#prove(link, chain[at + 1], reader, signal))
    const newest = manifests.at(-1)
    const last = chain.at(-1)
    if (newest === undefined || last === undefined) throw backupErrors.NZ_BACKUP_NO_ARCHIVE()
    this.#requireKnown(manifests)
    let [items, bytes] = [0, 0]
    for (const [at, link] of chain.entries()) {
      // What a later archive has whole takes the place of everything before it.
      const wanted = (name: string): boolean =>
        !manifests.slice(at + 1).some(({ parts }) => parts.some((part) => part.name === name && part.isFull))
      await this.#apply(link, { reader, wanted, signal })
      for (const part of manifests[at]?.parts ?? []) {
        items += part.items
        bytes += part.bytes
      }
    }
    const roots = newest.parts.map(({ name, root }) => ({ name, root }))
    const { id, peerId } = this.#identity.self
    return { id, peerId, archives: chain.length, items, bytes, asOfMs: last.createdAtMs, roots }
  }

  async roots({ signal }: { readonly signal: AbortSignal }): Promise<readonly PartRoot[]> {
    const roots: PartRoot[] = []
    for (const part of this.#parts) roots.push({ name: part.name, root: await part.root({ signal }) })
    return roots
  }

  #reader(): Reader {
    const { self, verify } = this.#identity
    return {
      recoveryKey: recoveryKeyOf(this.#identity),
      verify: (manifest, signature) => verify(BACKUP_PURPOSE, manifest, signature, self.signingPublicKey),
    }
  }

  /** Reads all of an archive and believes nothing before its end. */
  async #prove(link: ChainLink, next: ChainLink | undefined, reader: Reader, signal: AbortSignal): Promise<Manifest> {
    const file = basename(link.path)
    let sha256 = ''
    let manifest: Manifest | null = null
    for await (const event of readArchive(link.path, reader, { signal, onEnd: (hash) => void (sha256 = hash) })) {
      if (event.kind === 'manifest') manifest = event.manifest
      const isOther = event.kind === 'head' && event.head.id !== link.id
      if (isOther) throw backupErrors.NZ_BACKUP_CHAIN_BROKEN({ why: `${file} was exchanged`, data: { file } })
    }
    if (manifest === null)
      throw archiveErrors.NZ_BACKUP_ARCHIVE_DAMAGED({ why: `${file}: it has no end`, data: { file } })
    if (next === undefined || next.parent?.sha256 === sha256) return manifest
    const why = `${file} is not the file that ${basename(next.path)} goes on from`
    throw backupErrors.NZ_BACKUP_CHAIN_BROKEN({ why, data: { file } })
  }

  #requireKnown(manifests: readonly Manifest[]): void {
    const known = new Set(this.#parts.map(({ name }) => name))
    const unknown = manifests.flatMap(({ parts }) => parts).find(({ name }) => !known.has(name))
    if (unknown !== undefined) throw backupErrors.NZ_BACKUP_PART_UNKNOWN({ data: { part: unknown.name } })
  }

  async #apply(
    { path }: ChainLink,
    { reader, wanted, signal }: { reader: Reader; wanted: (name: string) => boolean; signal: AbortSignal },
  ): Promise<void> {
    const events = readArchive(path, reader, { signal })
    try {
      let next = await events.next()
      const items = async function* (): AsyncGenerator<Uint8Array> {
        for (next = await events.next(); next.done !== true && next.value.kind === 'item'; next = await events.next())
          yield next.value.item
      }
      while (next.done !== true) {
        const part = partOf(next.value, this.#parts)
        if (part === null) {
          next = await events.next()
          continue
        }
        const own = items()
        if (wanted(part.name)) await part.restore(own, { signal })
        // A part that stops early leaves the rest to nobody.
        for await (const _ of own) signal.throwIfAborted()
      }
    } finally {
      await events.return(undefined)
    }
  }
}

function partOf(event: ArchiveEvent, parts: readonly BackupPart[]): BackupPart | null {
  if (event.kind !== 'part') return null
  return parts.find(({ name }) => name === event.part.name) ?? null
}
