/** What transfers leave behind for the next run: receiving folders, unfinished files, recent history. */
import { z } from 'zod'
import { homeErrors } from '../home/service.ts'
import { transfersErrors, transferStates } from './service.ts'
import type { HomeService } from '../home/service.ts'
import type { TransferSnapshot } from './service.ts'

const FILE = 'transfers.json'

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

const stateFile = z.strictObject({
  v: z.literal(1),
  inboxes: z.array(inboxRecord).max(256),
  partials: z.array(partialRecord).max(2_000),
  /** Oldest first. */
  history: z.array(historyRecord).max(2_000),
})

export type InboxRecord = z.infer<typeof inboxRecord>
export type PartialRecord = z.infer<typeof partialRecord>
export type HistoryRecord = TransferSnapshot & { readonly inboxId: string | null }

export class TransferState {
  readonly #home: HomeService
  readonly #historyLimit: number
  readonly inboxes = new Map<string, InboxRecord>()
  /** By name of the hidden file. */
  readonly partials = new Map<string, PartialRecord>()
  readonly history: HistoryRecord[] = []
  #saving: Promise<void> | null = null
  #isDirty = false

  constructor(home: HomeService, { historyLimit }: { historyLimit: number }) {
    this.#home = home
    this.#historyLimit = historyLimit
  }

  /** @throws NZ_TRANSFERS_STATE_DAMAGED */
  async load(): Promise<void> {
    const bytes = await this.#home.read(FILE)
    if (bytes === null) return
    const { inboxes, partials, history } = this.#parse(bytes)
    for (const inbox of inboxes) this.inboxes.set(inbox.id, inbox)
    for (const partial of partials) this.partials.set(partial.file, partial)
    this.history.push(...history)
  }

  /** Adds to the history, which forgets its oldest beyond the limit. */
  remember(record: HistoryRecord): void {
    this.history.push(record)
    while (this.history.length > this.#historyLimit) this.history.shift()
  }

  /** The completed transfer of that peer and id, whose receipt may be asked for again. */
  delivered(peerId: string, id: string): HistoryRecord | undefined {
    return this.history.find(
      (record) =>
        record.direction === 'receiving' && record.peerId === peerId && record.id === id && record.state === 'done',
    )
  }

  /** Durable when it resolves; calls during one write share the next. @throws NZ_HOME_UNWRITABLE */
  async save(): Promise<void> {
    this.#isDirty = true
    while (this.#saving !== null) await this.#saving.catch(() => undefined)
    if (!this.#isDirty) return
    this.#isDirty = false
    this.#saving = this.#write()
    try {
      await this.#saving
    } catch (error) {
      this.#isDirty = true
      throw error
    } finally {
      this.#saving = null
    }
  }

  async #write(): Promise<void> {
    const text = JSON.stringify({
      v: 1,
      inboxes: [...this.inboxes.values()],
      partials: [...this.partials.values()],
      history: this.history,
    })
    await this.#home.write(FILE, Buffer.from(text))
  }

  #parse(bytes: Uint8Array): z.infer<typeof stateFile> {
    try {
      return stateFile.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
    } catch (cause) {
      throw transfersErrors.NZ_TRANSFERS_STATE_DAMAGED({
        cause,
        data: { path: `${this.#home.paths.stateDir}/${FILE}` },
      })
    }
  }
}

/** Whether the state could not be written because the disk is full or read-only. */
export function isUnwritable(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === homeErrors.NZ_HOME_UNWRITABLE().code
}
