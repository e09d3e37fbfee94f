/** Append-only, hash-chained, encrypted logs; the event bus of the node can be recorded into one. */
import { join } from 'node:path'
import { z } from 'zod'
import { defineModule } from '../../kernel/index.ts'
import { isLogName } from '../../protocols/eventlog/entry.ts'
import { HomeService } from '../home/service.ts'
import { IdentityService } from '../identity/service.ts'
import { StorageService } from '../storage/service.ts'
import { EventLogs } from './event-logs.ts'
import { LogKeys } from './keys.ts'
import { Recorder } from './recorder.ts'
import { eventLogEvents, EventLogService } from './service.ts'
import { WitnessNotes } from './witness.ts'
import type { Clock, Logger, Timer } from '../../kernel/index.ts'

export { checkExport } from './export.ts'

const bytes = { unit: 'bytes' }
const ms = { unit: 'ms' }

const RecordConfig = z.strictObject({
  enabled: z.boolean().default(false).describe('whether what happens in the node is written to an event log'),
  log: z.string().refine(isLogName, 'the name of a log').default('events').describe('the log that events go to'),
  names: z
    .array(z.string().regex(/^[a-z][A-Za-z]*(?:\.[a-zA-Z]+)?$/, 'a name (network.peerConnected) or area (network)'))
    .max(64)
    .default([])
    .describe('events that are recorded: exact names, or areas such as network; none: all'),
  keepBytes: z
    .int()
    .min(1_048_576)
    .max(1_099_511_627_776)
    .default(67_108_864)
    .describe('size above which the oldest segments of this log are deleted')
    .meta(bytes),
  keepMs: z
    .int()
    .min(60_000)
    .max(315_576_000_000)
    .default(7_776_000_000)
    .describe('age above which segments of this log are deleted')
    .meta(ms),
})

const config = z.strictObject({
  segmentBytes: z
    .int()
    .min(65_536)
    .max(1_073_741_824)
    .default(16_777_216)
    .describe('size at which a log goes on in another file')
    .meta(bytes),
  segmentAgeMs: z
    .int()
    .min(1_000)
    .max(31_557_600_000)
    .default(86_400_000)
    .describe('age at which a log goes on in another file')
    .meta(ms),
  maxLogBytes: z
    .int()
    .min(1_048_576)
    .max(1_099_511_627_776)
    .default(1_073_741_824)
    .describe('size of one log beyond which entries are refused')
    .meta(bytes),
  upkeepIntervalMs: z
    .int()
    .min(100)
    .max(86_400_000)
    .default(5_000)
    .describe('how often is noted outside of the logs how far they have come, and old events are deleted')
    .meta(ms),
  record: RecordConfig.prefault({}),
})

export default defineModule({
  name: 'eventlog',
  config,
  requires: { home: HomeService, identity: IdentityService, storage: StorageService },
  provides: { eventlog: EventLogService },
  emits: eventLogEvents,
  capabilities: ['log.read', 'log.write'],
  restart: 'permanent',

  setup({ clock, random, log, events, scope }, { home, identity, storage }, { record, upkeepIntervalMs, ...limits }) {
    const root = identity.deriveKey('nzcore/eventlog/1')
    let keys
    try {
      keys = new LogKeys(root)
    } finally {
      root.fill(0)
    }
    const notes = new WitnessNotes(storage.namespace('eventlog'))
    const logs = new EventLogs(
      join(home.paths.stateDir, 'eventlog'),
      { keys, clock, random, log, events, notes, signer: identity },
      limits,
    )
    const recorder = new Recorder(
      { events, clock, log, write: async (entries) => await logs.write(record.log, entries) },
      record,
    )
    const stop = async (): Promise<void> => {
      await recorder.stop()
      await logs.close()
    }
    return {
      services: { eventlog: logs },
      async start() {
        scope.defer(stop)
        await logs.open()
        logs.attach(recorder)
        if (record.enabled) await recorder.start()
        const upkeep = every(upkeepIntervalMs, { clock, log }, async () => {
          await logs.keepWitnesses()
          const isThere =
            record.enabled && logs.list().some(({ name, isAppendable }) => name === record.log && isAppendable)
          if (isThere) await logs.trim(record.log, { keepBytes: record.keepBytes, keepMs: record.keepMs })
        })
        scope.defer(() => upkeep.cancel())
      },
      stop,
      async health() {
        const troubled = logs.list().find(({ code }) => code !== null)
        return await Promise.resolve(
          troubled?.code === undefined || troubled.code === null
            ? { state: 'healthy' as const }
            : { state: 'degraded' as const, code: troubled.code, why: `${troubled.name}: ${troubled.why ?? ''}` },
        )
      },
    }
  },
})

/** Does `work` again and again; what it throws is logged. */
function every(intervalMs: number, { clock, log }: { clock: Clock; log: Logger }, work: () => Promise<void>): Timer {
  let timer: Timer
  let isCancelled = false
  const next = (): void => {
    timer = clock.setTimer(
      intervalMs,
      () => {
        void work()
          .catch((error: unknown) => log.warn('eventlog.upkeepFailed', { error }))
          .finally(() => {
            if (!isCancelled) next()
          })
      },
      { unref: true },
    )
  }
  next()
  return {
    cancel: () => {
      isCancelled = true
      timer.cancel()
    },
  }
}
