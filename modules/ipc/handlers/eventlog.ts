/** Handlers of the group `log`. */
import { isNzError } from '../../../kernel/index.ts'
import { hexOf } from '../../../protocols/eventlog/entry.ts'
import { writtenPayload } from '../../../protocols/eventlog/export.ts'
import type { eventLogContract } from '../../../protocols/ipc/contract/eventlog.ts'
import type { Handlers, ResultOf } from '../../../protocols/ipc/endpoint.ts'
import type { EventLogService, LogItem, LogProof, LogStatus } from '../../eventlog/service.ts'

type View = ResultOf<(typeof eventLogContract)['logStatus']>['log']
type ItemView = ResultOf<(typeof eventLogContract)['logTail']>

/** Payloads of one answer, as they are written, after which no more entries are taken in. */
const MAX_READ_BYTES = 4_194_304
const PROGRESS_EVERY_MS = 500

export function eventLogHandlers({
  eventlog,
  clock,
}: {
  readonly eventlog: EventLogService
  readonly clock: { monotonicMs(): number }
}): Handlers<typeof eventLogContract> {
  return {
    async logAppend({ log, entries, encoding }) {
      const payloads = entries.map((entry) => Buffer.from(entry, encoding === 'text' ? 'utf8' : 'base64'))
      const { hash, ...appended } = await eventlog.append(log, payloads)
      return { log, ...appended, hash: hexOf(hash) }
    },
    async logRead({ log, after, last, limit }, { signal }) {
      const status = eventlog.status(log)
      const begin = last === undefined ? (after ?? 0) : Math.max(status.last - last, status.first - 1, after ?? 0)
      const items: ItemView[] = []
      let bytes = 0
      try {
        for await (const item of eventlog.read(log, { after: begin, limit, signal })) {
          const view = itemView(item)
          items.push(view)
          bytes += view.type === 'entry' ? view.payload.length : 0
          if (bytes > MAX_READ_BYTES) break
        }
      } catch (error) {
        // What comes before the damage is given; who asks for what is behind it is told at once.
        if (items.length === 0 || !isNzError(error, 'NZ_LOG_DAMAGED')) throw error
        return { items, hasMore: true, damage: error.why }
      }
      const cursor = items.at(-1)?.cursor ?? begin
      return { items, hasMore: cursor < eventlog.status(log).last, damage: null }
    },
    async *logTail({ log, after }, { signal }) {
      for await (const item of eventlog.tail(log, { after: after ?? eventlog.status(log).last, signal })) {
        yield itemView(item)
      }
    },
    logVerify: ({ log }, { signal }) => verify(eventlog, log, { signal, clock }),
    logExport: ({ log, after }, { signal }) => eventlog.export(log, { after, signal }),
    logRotate: async ({ log }) => ({ log: view(await eventlog.rotate(log)) }),
    logTrim: async ({ log, keepBytes, keepMs, before }) =>
      await eventlog.trim(log, {
        ...(keepBytes === undefined ? {} : { keepBytes }),
        ...(keepMs === undefined ? {} : { keepMs }),
        ...(before === undefined ? {} : { before }),
      }),
    logRepair: async ({ log }) => {
      const { setAside, lost } = await eventlog.repair(log)
      return { setAside, lost: [...lost] }
    },
    logList: async () => ({ logs: eventlog.list().map(view), recorder: { ...eventlog.recorder } }),
    logStatus: async ({ log }) => ({ log: view(eventlog.status(log)) }),
  }
}

/** Tells how far it is now and then, so that a caller sees that it goes on. */
async function* verify(
  eventlog: EventLogService,
  log: string,
  { signal, clock }: { readonly signal: AbortSignal; readonly clock: { monotonicMs(): number } },
): AsyncGenerator<ResultOf<(typeof eventLogContract)['logVerify']>> {
  let entries = 0
  let told = 0
  let wake = (): void => {}
  let lastMs = clock.monotonicMs()
  const onProgress = (proven: number): void => {
    entries = proven
    if (clock.monotonicMs() - lastMs < PROGRESS_EVERY_MS) return
    lastMs = clock.monotonicMs()
    wake()
  }
  const proving = eventlog.verify(log, { signal, onProgress })
  for (;;) {
    const progress = new Promise<null>((resolve) => (wake = () => resolve(null)))
    const proof = await Promise.race([proving, progress])
    if (proof !== null) {
      yield { type: 'proof', ...proofView(proof) }
      return
    }
    if (entries > told) yield { type: 'progress', entries }
    told = entries
  }
}

function proofView({ hash, damaged, lost, ...proof }: LogProof) {
  return { ...proof, hash: hexOf(hash), damaged: [...damaged], lost: [...lost] }
}

function view({ hash, damaged, ...status }: LogStatus): View {
  return { ...status, hash: hexOf(hash), damaged: [...damaged] }
}

function itemView(item: LogItem): ItemView {
  if (item.type === 'gap') {
    const { from, to, reason } = item
    return { type: 'gap', cursor: to, from, to, reason }
  }
  const { sequence, atMs, kind, payload, hash } = item
  return { type: 'entry', cursor: sequence, sequence, atMs, kind, ...writtenPayload(payload), hash: hexOf(hash) }
}
