/** What transfers leave behind for the next run: receiving folders, unfinished files, recent history. */
import { join } from 'node:path'
import { z } from 'zod'
import { transfersErrors, transferStates } from './service.ts'
import type { Health } from '../../kernel/index.ts'
import type { HomeService } from '../home/service.ts'
import type { StorageService, StoredMap } from '../storage/service.ts'
import type { TransferSnapshot } from './service.ts'

const NAMESPACE = 'transfers'
const OLDER_FILE = 'transfers.json'

const hex = (digits: number): z.ZodString => z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`))
const count = z.int().min(0)

const receiptRecord = z.strictObject({ id: z.string(), body: z.string(), signature: z.string() })

const inboxRecord = z.strictObject({
  id: z.string(),
  directory: z.string(),
  from: z.string().nullable(),
  isOnce: z.boolean(),
  createdAtMs: count,
})

const partialRecord = z.strictObject({
  /** Of the offer that last went on with it. */
  id: hex(32),
  token: hex(32).nullable(),
  peerId: z.string(),
  name: z.string(),
  size: count.nullable(),
  inboxId: z.string(),
  directory: z.string(),
  /** Name of the hidden file in `directory`. */
  file: z.string().regex(/^\.nzcore-[0-9a-f]{32}\.part$/),
  /** Held when its last stream ended. */
  bytes: count,
  createdAtMs: count,
  touchedAtMs: count,
  /** Set once everything is there and verified: what remains is the final name. */
  complete: z.strictObject({ size: count, sha256: hex(64), receipt: receiptRecord }).nullable(),
})

const historyRecord = z.strictObject({
  id: hex(32),
  direction: z.enum(['sending', 'receiving']),
  peerId: z.string(),
  peer: z.string(),
  name: z.string(),
  state: z.enum(transferStates),
  size: count.nullable(),
  bytes: count,
  startedAtMs: count,
  endedAtMs: count.nullable(),
  sha256: z.string().nullable(),
  path: z.string().nullable(),
  receipt: receiptRecord.nullable(),
  code: z.string().nullable(),
  /** The receiving folder it went to. */
  inboxId: z.string().nullable(),
})

const StoredRecord = z.discriminatedUnion('kind', [
  inboxRecord.extend({ kind: z.literal('inbox') }),
  partialRecord.extend({ kind: z.literal('partial') }),
  historyRecord.extend({ kind: z.literal('ended') }),
])
type StoredRecord = z.output<typeof StoredRecord>

const olderFile = z.strictObject({
  v: z.literal(1),
  inboxes: z.array(inboxRecord).max(256),
  partials: z.array(partialRecord).max(2_000),
  /** Oldest first. */
  history: z.array(historyRecord).max(2_000),
})

export type InboxRecord = z.infer<typeof inboxRecord>
export type PartialRecord = z.infer<typeof partialRecord>
export type HistoryRecord = TransferSnapshot & { readonly inboxId: string | null }

/** All in one namespace, so that a file that is complete leaves the unfinished and joins the history in one step. */
export class TransferState {
  readonly #stored: StoredMap<StoredRecord>
  readonly #historyLimit: number
  readonly #inboxes = new Map<string, InboxRecord>()
  readonly #partials = new Map<string, PartialRecord>()
  /** By number, oldest first. */
  readonly #history = new Map<number, HistoryRecord>()
  #lastNumber = 0

  constructor(
    { storage, home }: { readonly storage: Pick<StorageService, 'map'>; readonly home: Pick<HomeService, 'paths'> },
    { historyLimit, onLoaded }: { readonly historyLimit: number; readonly onLoaded: () => void },
  ) {
    this.#historyLimit = historyLimit
    const records = (bytes: Uint8Array): readonly (readonly [string, StoredRecord])[] =>
      recordsOf(parse(bytes, join(home.paths.stateDir, OLDER_FILE)))
    this.#stored = storage.map(NAMESPACE, {
      schema: StoredRecord,
      older: { file: OLDER_FILE, records },
      onLoaded: () => {
        this.#index()
        onLoaded()
      },
    })
  }

  /** @throws NZ_TRANSFERS_STATE_DAMAGED for the file of an older version */
  async load(): Promise<void> {
    await this.#stored.load()
  }

  get isReadable(): boolean {
    return this.#stored.trouble === null
  }

  health(): Health {
    return this.#stored.health('nothing is received, and what is sent is not remembered, until then')
  }

  /** The one opened longest ago first. None while the records cannot be read: then nothing is received. */
  get inboxes(): readonly InboxRecord[] {
    return [...this.#inboxes.values()].toSorted((a, b) => a.createdAtMs - b.createdAtMs)
  }

  hasInbox(id: string): boolean {
    return this.#inboxes.has(id)
  }

  /** By name of the hidden file. */
  get partials(): ReadonlyMap<string, PartialRecord> {
    return this.#partials
  }

  /** Oldest first. */
  get history(): readonly HistoryRecord[] {
    return [...this.#history.values()]
  }

  /** The completed transfer of that peer and id, whose receipt may be asked for again. */
  delivered(peerId: string, id: string): HistoryRecord | undefined {
    return this.history.find(
      (record) =>
        record.direction === 'receiving' && record.peerId === peerId && record.id === id && record.state === 'done',
    )
  }

  /** Durable when it resolves, and not before in force. @throws what the store refuses with */
  async putInbox(inbox: InboxRecord): Promise<void> {
    const record: StoredRecord = { kind: 'inbox', ...inbox }
    await this.#stored.change(() => ({ put: [[`inbox/${inbox.id}`, record]], result: null }))
    this.#inboxes.set(inbox.id, inbox)
  }

  /** In force at once, durable when it resolves. @throws what the store refuses with; it is written later then */
  async removeInbox(id: string): Promise<void> {
    this.#inboxes.delete(id)
    await this.#stored.force({ remove: [`inbox/${id}`] })
  }

  /** Durable when it resolves, and not before in force. @throws what the store refuses with */
  async putPartial(partial: PartialRecord): Promise<void> {
    const record: StoredRecord = { kind: 'partial', ...partial }
    await this.#stored.change(() => ({ put: [[partialKey(partial.file), record]], result: null }))
    this.#partials.set(partial.file, partial)
  }

  /** In force at once, durable when it resolves. @throws what the store refuses with; it is written later then */
  async notePartial(partial: PartialRecord): Promise<void> {
    this.#partials.set(partial.file, partial)
    await this.#stored.force({ put: [[partialKey(partial.file), { kind: 'partial', ...partial }]] })
  }

  /** As `notePartial`. */
  async removePartial(file: string): Promise<void> {
    this.#partials.delete(file)
    await this.#stored.force({ remove: [partialKey(file)] })
  }

  /**
   * Adds to the history, which forgets its oldest beyond the limit, and forgets the unfinished file it came from. In
   * force at once, durable when it resolves.
   *
   * @throws what the store refuses with; it is written later then
   */
  async remember(record: HistoryRecord, { partial }: { readonly partial?: string } = {}): Promise<void> {
    this.#lastNumber += 1
    const key = endedKey(this.#lastNumber)
    this.#history.set(this.#lastNumber, record)
    const remove: string[] = []
    if (partial !== undefined) {
      this.#partials.delete(partial)
      remove.push(partialKey(partial))
    }
    for (const oldest of this.#history.keys()) {
      if (this.#history.size <= this.#historyLimit) break
      this.#history.delete(oldest)
      remove.push(endedKey(oldest))
    }
    await this.#stored.force({ put: [[key, { kind: 'ended', ...record }]], remove })
  }

  /** Writes what was refused before. @throws what the store refuses with */
  async settle(): Promise<void> {
    await this.#stored.force({})
  }

  #index(): void {
    // What ended while the records could not be read.
    const unwritten = [...this.#history.values()]
    this.#inboxes.clear()
    this.#partials.clear()
    this.#history.clear()
    for (const [key, { kind, ...record }] of sortedByKey(this.#stored.values)) {
      if (kind === 'inbox') this.#inboxes.set(key.slice('inbox/'.length), record as InboxRecord)
      else if (kind === 'partial') this.#partials.set(key.slice('partial/'.length), record as PartialRecord)
      else this.#history.set(Number(key.slice('ended/'.length)), record as HistoryRecord)
    }
    this.#lastNumber = [...this.#history.keys()].at(-1) ?? 0
    for (const record of unwritten) void this.remember(record).catch(() => undefined)
  }
}

const partialKey = (file: string): string => `partial/${file}`
const endedKey = (number: number): string => `ended/${String(number).padStart(12, '0')}`

function sortedByKey(values: ReadonlyMap<string, StoredRecord>): readonly (readonly [string, StoredRecord])[] {
  return [...values].toSorted(([a], [b]) => (a < b ? -1 : 1))
}

/** The state of version 0.1.0. */
function parse(bytes: Uint8Array, path: string): z.infer<typeof olderFile> {
  try {
    return olderFile.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
  } catch (cause) {
    throw transfersErrors.NZ_TRANSFERS_STATE_DAMAGED({ cause, data: { path } })
  }
}

function recordsOf({
  inboxes,
  partials,
  history,
}: z.infer<typeof olderFile>): readonly (readonly [string, StoredRecord])[] {
  return [
    ...inboxes.map((inbox) => [`inbox/${inbox.id}`, { kind: 'inbox', ...inbox }] as const),
    ...partials.map((partial) => [partialKey(partial.file), { kind: 'partial', ...partial }] as const),
    ...history.map((record, at) => [endedKey(at + 1), { kind: 'ended', ...record }] as const),
  ]
}
