/** The logs' share of a backup: entries as they were chained, so that a restored log proves itself. NZ-LOG-01 §8. */
import { createHash } from 'node:crypto'
import { encode, decode } from 'cborg'
import { z } from 'zod'
import { MAX_ITEM_BYTES } from '../../protocols/backup/part.ts'
import { encodeEntry, hexOf, isLogName } from '../../protocols/eventlog/entry.ts'
import { readLog } from './reading.ts'
import type { BackupPart, PartExport } from '../../protocols/backup/part.ts'
import type { LogHead } from '../../protocols/eventlog/frame.ts'
import type { Log } from './log.ts'
import type { RestoredPart } from './tail-writer.ts'

const MAX_MARK_LENGTH = 1_024
/** Entries of one item; what frames them takes the rest of MAX_ITEM_BYTES. */
const ITEM_ENTRIES_BYTES = 524_288
/** A mark that names nothing: what follows it is a full export. */
const NO_MARK = 'full'

const hash = z.string().regex(/^[0-9a-f]{64}$/)
const sequence = z.number().int().min(0)
const Bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array)
const Item = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('log'),
    name: z.string().refine(isLogName),
    uid: z.string().regex(/^[0-9a-f]{32}$/),
    sequence,
    previous: hash,
  }),
  z.strictObject({ type: z.literal('entries'), name: z.string(), entries: z.array(Bytes).max(65_536) }),
  z.strictObject({ type: z.literal('gap'), name: z.string(), from: sequence, to: sequence, previous: hash }),
])
type Item = z.infer<typeof Item>

/** What the part needs of the logs. */
export interface BackedUpLogs {
  readonly logs: Iterable<Log>
  restored(name: string, begin: Parameters<Log['writer']['createAt']>[0]): Promise<Log>
  existing(name: string): Log
}

export class LogBackup implements BackupPart {
  readonly name = 'eventlog'
  readonly #logs: BackedUpLogs

  constructor(logs: BackedUpLogs) {
    this.#logs = logs
  }

  async export({ since, signal }: { readonly since?: string; readonly signal: AbortSignal }): Promise<PartExport> {
    signal.throwIfAborted()
    const taken = this.#taken()
    const known = since === undefined ? null : parsedMark(since)
    return await Promise.resolve({
      mark: markOf(taken),
      isFull: known === null,
      items: itemsOf(taken, known ?? new Map<string, number>(), signal),
      root: async () => await Promise.resolve(rootOf(taken)),
      [Symbol.asyncDispose]: async () => await Promise.resolve(),
    })
  }

  async restore(items: AsyncIterable<Uint8Array>, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    for await (const bytes of items) {
      signal.throwIfAborted()
      const item = Item.parse(decode(bytes, { strict: true, rejectDuplicateMapKeys: true }))
      if (item.type === 'log') {
        const { uid, previous } = item
        const log = await this.#logs.restored(item.name, { uid, segment: 1, sequence: item.sequence, previous })
        if (log.head?.uid !== uid) throw new RangeError(`another log of the name ${item.name} is there`)
        continue
      }
      const parts: readonly RestoredPart[] =
        item.type === 'gap'
          ? [{ type: 'gap', gap: { from: item.from, to: item.to, previous: item.previous } }]
          : item.entries.map((encoded) => ({ type: 'entry', encoded }))
      await this.#logs.existing(item.name).restore(parts)
    }
  }

  async root({ signal }: { readonly signal: AbortSignal }): Promise<string> {
    signal.throwIfAborted()
    return await Promise.resolve(rootOf(this.#taken()))
  }

  /** The logs and how far each has come now. */
  #taken(): readonly Taken[] {
    return [...this.#logs.logs]
      .flatMap((log) => (log.head === null ? [] : [{ log, head: log.head }]))
      .toSorted((a, b) => (a.head.name < b.head.name ? -1 : 1))
  }
}

interface Taken {
  readonly log: Log
  readonly head: LogHead
}

/** The last hash of a chain stands for all of it. */
function rootOf(taken: readonly Taken[]): string {
  const chains = taken.map(({ head: { name, uid, sequence: last, hash: at } }) => [name, uid, last, at])
  return createHash('sha256').update(JSON.stringify(chains)).digest('hex')
}

/** `<five bytes of the log's id><sequence in base 36>`, joined by commas. */
function markOf(taken: readonly Taken[]): string {
  const mark = taken.map(({ log, head }) => `${shortId(log)}${head.sequence.toString(36)}`).join(',')
  return mark === '' || mark.length > MAX_MARK_LENGTH ? NO_MARK : mark
}

function shortId({ place: { logId } }: Log): string {
  return hexOf(logId.subarray(0, 5))
}

function parsedMark(mark: string): ReadonlyMap<string, number> | null {
  if (mark === NO_MARK || mark.length > MAX_MARK_LENGTH) return null
  const known = new Map<string, number>()
  for (const part of mark.split(',')) {
    const [, id, last] = /^([0-9a-f]{10})([0-9a-z]{1,11})$/.exec(part) ?? []
    if (id === undefined || last === undefined) return null
    known.set(id, parseInt(last, 36))
  }
  return known
}

async function* itemsOf(
  taken: readonly Taken[],
  known: ReadonlyMap<string, number>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (const { log, head } of taken) {
    const { name, uid, first } = head
    const after = known.get(shortId(log)) ?? 0
    yield encoded({ type: 'log', name, uid, sequence: first.sequence, previous: first.previous })
    let entries: Uint8Array[] = []
    let bytes = 0
    const begun = after === 0 ? first.sequence - 1 : after
    for await (const item of readLog(log, { after: begun, signal })) {
      const place = item.type === 'gap' ? item.from : item.sequence
      if (place > head.sequence) break
      const plain = item.type === 'entry' ? encodeEntry(item) : null
      const isFull = bytes + (plain?.byteLength ?? 0) > ITEM_ENTRIES_BYTES
      if (entries.length > 0 && (plain === null || isFull)) {
        yield encoded({ type: 'entries', name, entries })
        entries = []
        bytes = 0
      }
      if (item.type === 'gap') {
        yield encoded({ type: 'gap', name, from: item.from, to: item.to, previous: hexOf(item.previous) })
      } else if (plain !== null) {
        entries.push(plain)
        bytes += plain.byteLength + 16
      }
    }
    signal.throwIfAborted()
    if (entries.length > 0) yield encoded({ type: 'entries', name, entries })
  }
}

function encoded(item: Item): Uint8Array {
  const bytes = Uint8Array.from(encode(item))
  if (bytes.byteLength > MAX_ITEM_BYTES) throw new RangeError('an item of the backup is too large')
  return bytes
}
