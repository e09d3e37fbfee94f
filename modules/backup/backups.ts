/** Makes archives: opens every part's export in one moment, writes them to the target, remembers what was written. */
import { isNzError } from '../../kernel/index.ts'
import { publicKeyOfRecipient, recipientOf } from '../../protocols/backup/age-recipient.ts'
import { archiveName } from './archive-name.ts'
import { CommandTarget } from './command-target.ts'
import { FolderTarget } from './folder-target.ts'
import { BACKUP_PURPOSE } from './recovery-key.ts'
import { prunable } from './retention.ts'
import { backupErrors, backupEvents } from './service.ts'
import { writeArchive } from './write-archive.ts'
import type { Clock, EventBus, Logger, Random } from '../../kernel/index.ts'
import type { ArchiveHead } from '../../protocols/backup/archive.ts'
import type { BackupPart, PartExport } from '../../protocols/backup/part.ts'
import type { IdentityService } from '../identity/service.ts'
import type { Catalogue, Remembered } from './catalogue.ts'
import type { BackupConfig } from './config.ts'
import type { BackupEntry, BackupSchedule, BackupService } from './service.ts'
import type { Target } from './target.ts'

export interface BackupsServices {
  readonly identity: Pick<IdentityService, 'self' | 'sign'>
  /** The store's first. */
  readonly parts: readonly BackupPart[]
  readonly catalogue: Catalogue
  readonly clock: Clock
  readonly random: Random
  readonly events: Pick<EventBus, 'emit'>
  readonly log: Logger
  readonly env: Readonly<Record<string, string | undefined>>
}

interface OpenExport {
  readonly name: string
  readonly opened: PartExport
}

export class Backups implements BackupService {
  readonly recipient: string
  readonly #recoveryPublicKey: Uint8Array
  readonly #services: BackupsServices
  #config: BackupConfig
  readonly #stopped = new AbortController()
  #underWay: Promise<Remembered> | null = null
  #lastFailure: BackupSchedule['lastFailure'] = null

  /** `recoveryPublicKey` is the public half of the recovery key, 32 bytes. */
  constructor(services: BackupsServices, config: BackupConfig, recoveryPublicKey: Uint8Array) {
    this.#services = services
    this.#config = config
    this.#recoveryPublicKey = recoveryPublicKey
    this.recipient = recipientOf(recoveryPublicKey)
  }

  get config(): BackupConfig {
    return this.#config
  }

  reload(config: BackupConfig): void {
    this.#config = config
  }

  async create({
    isFull = false,
    signal,
  }: {
    readonly isFull?: boolean
    readonly signal: AbortSignal
  }): Promise<BackupEntry> {
    if (this.#underWay !== null) throw backupErrors.NZ_BACKUP_BUSY()
    const ended = AbortSignal.any([signal, this.#stopped.signal])
    ended.throwIfAborted()
    this.#underWay = this.#create({ isFull, signal: ended })
    try {
      const entry = await this.#underWay
      this.#lastFailure = null
      this.#services.events.emit(backupEvents.created, { id: entry.id, kind: entry.kind, bytes: entry.bytes })
      this.#services.log.info('backup.created', { id: entry.id, kind: entry.kind, bytes: entry.bytes })
      return viewOf(entry)
    } catch (error) {
      const { code, why } = ended.aborted
        ? { code: 'NZ_BACKUP_TARGET_FAILED', why: 'it was broken off' }
        : reasonOf(error)
      this.#lastFailure = { atMs: Math.floor(this.#services.clock.nowMs()), code, why }
      this.#services.events.emit(backupEvents.failed, { code, why })
      this.#services.log.warn('backup.failed', { error })
      throw error
    } finally {
      this.#underWay = null
    }
  }

  /** Breaks off a backup under way and waits until nothing of it is left. */
  async close(): Promise<void> {
    this.#stopped.abort(new DOMException('the node stops', 'AbortError'))
    await this.#underWay?.catch(() => undefined)
  }

  async list(): Promise<readonly BackupEntry[]> {
    return (await this.#services.catalogue.list()).map(viewOf)
  }

  async schedule(): Promise<BackupSchedule> {
    const { intervalMs, folder, command, recipients, keepLast, keepDaily, keepWeekly, keepMonthly } = this.#config
    const lastAtMs = (await this.#services.catalogue.list()).at(-1)?.createdAtMs ?? null
    const nowMs = Math.floor(this.#services.clock.nowMs())
    const target =
      folder !== undefined
        ? { kind: 'folder' as const, folder }
        : command !== undefined
          ? { kind: 'command' as const, command }
          : null
    return {
      intervalMs,
      nextAtMs: intervalMs === 0 ? null : Math.max(nowMs, dueAtMs({ lastAtMs, intervalMs, nowMs })),
      lastAtMs,
      lastFailure: this.#lastFailure,
      target,
      keep: { last: keepLast, daily: keepDaily, weekly: keepWeekly, monthly: keepMonthly },
      recipients: [this.recipient, ...recipients],
    }
  }

  async prune({ signal }: { readonly signal: AbortSignal }): Promise<readonly string[]> {
    const target = this.#target(signal)
    if (target.kind === 'command') return []
    const { catalogue, events } = this.#services
    const { keep } = await this.schedule()
    const written = (await catalogue.list()).filter((entry) => entry.target === 'folder')
    const leaving = prunable(written, keep)
    signal.throwIfAborted()
    const names = leaving.map(({ name }) => name)
    if (names.length === 0) return []
    await target.remove(names)
    await catalogue.remove(leaving)
    events.emit(backupEvents.pruned, { names })
    return names
  }

  async #create({ isFull, signal }: { readonly isFull: boolean; readonly signal: AbortSignal }): Promise<Remembered> {
    const { identity, parts, catalogue, clock, random } = this.#services
    const target = this.#target(signal)
    const parent = isFull ? null : await this.#parent(target)
    const head: ArchiveHead = {
      id: Buffer.from(random.bytes(16)).toString('hex'),
      peerId: identity.self.peerId,
      createdAtMs: Math.floor(clock.nowMs()),
      parent: parent === null ? null : { id: parent.id, sha256: parent.sha256 },
      depth: parent === null ? 0 : parent.depth + 1,
    }
    await using exports = await openAll(parts, parent?.marks ?? {}, signal)
    const name = archiveName(head)
    const written = await target.write(name, async (write) =>
      writeArchive({
        head,
        exports: exports.opened,
        recipients: [this.#recoveryPublicKey, ...this.#config.recipients.map(keyOf)],
        random,
        sign: (manifest) => identity.sign(BACKUP_PURPOSE, manifest),
        write,
        signal,
      }),
    )
    const entry: Remembered = {
      id: head.id,
      name,
      kind: parent === null ? 'full' : 'incremental',
      createdAtMs: head.createdAtMs,
      parent: parent?.id ?? null,
      bytes: written.bytes,
      sha256: written.sha256,
      target: target.kind,
      roots: written.parts.map(({ name: part, root }) => ({ name: part, root })),
      depth: head.depth,
      marks: Object.fromEntries(exports.opened.map(({ name: part, opened }) => [part, opened.mark])),
    }
    await catalogue.add(entry)
    return entry
  }

  /** The archive that the next one goes on from; `null` when the next is a full one. */
  async #parent(target: Target): Promise<Remembered | null> {
    const last = (await this.#services.catalogue.list()).at(-1)
    if (last === undefined || last.target !== target.kind || last.depth >= this.#config.maxIncrementals) return null
    return (await target.has(last.name)) ? last : null
  }

  #target(signal: AbortSignal): Target {
    const { folder, command, commandTimeoutMs } = this.#config
    if (folder !== undefined && command !== undefined) {
      throw backupErrors.NZ_BACKUP_NO_TARGET({ why: 'both backup.folder and backup.command are set' })
    }
    if (folder !== undefined) return new FolderTarget(folder)
    if (command === undefined) throw backupErrors.NZ_BACKUP_NO_TARGET()
    const { clock, env } = this.#services
    return new CommandTarget({ command, timeoutMs: commandTimeoutMs, clock, env, signal })
  }
}

/** When the next backup is due. A last one in the future was made by a clock that was set back since. */
export function dueAtMs({
  lastAtMs,
  intervalMs,
  nowMs,
}: {
  readonly lastAtMs: number | null
  readonly intervalMs: number
  readonly nowMs: number
}): number {
  return lastAtMs === null || lastAtMs > nowMs ? nowMs : lastAtMs + intervalMs
}

/** Opens every export before one is read, so that all are of one moment; none stays open when one fails. */
async function openAll(
  parts: readonly BackupPart[],
  marks: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<{ readonly opened: readonly OpenExport[] } & AsyncDisposable> {
  const opened: OpenExport[] = []
  const close = async (): Promise<void> => {
    for (const one of opened.toReversed()) await one.opened[Symbol.asyncDispose]()
  }
  try {
    for (const part of parts) {
      const since = marks[part.name]
      opened.push({ name: part.name, opened: await part.export({ signal, ...(since === undefined ? {} : { since }) }) })
    }
  } catch (error) {
    await close()
    throw error
  }
  return { opened, [Symbol.asyncDispose]: close }
}

function keyOf(recipient: string): Uint8Array {
  const key = publicKeyOfRecipient(recipient)
  if (key === null) throw new TypeError('the configuration has let in what is no recipient')
  return key
}

function viewOf({ depth: _depth, marks: _marks, ...entry }: Remembered): BackupEntry {
  return entry
}

function reasonOf(error: unknown): { readonly code: string; readonly why: string } {
  if (isNzError(error)) return { code: error.code, why: error.why ?? error.message }
  return { code: 'NZ_BACKUP_TARGET_FAILED', why: 'it failed; the log says more' }
}
