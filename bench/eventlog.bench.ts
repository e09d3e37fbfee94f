/**
 * Appends a second of the event log with 32 writers at once, which share their syncs, against the same log written one
 * entry after another, and against a plain file with one fsync an append. Round by round in turn, on one disk.
 */
import { mkdtemp, open, rm } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock, systemRandom } from '../kernel/index.ts'
import { EventLogs } from '../modules/eventlog/event-logs.ts'
import { LogKeys } from '../modules/eventlog/keys.ts'
import { WitnessNotes } from '../modules/eventlog/witness.ts'
import { FULL_ROUNDS, SMALL_ROUNDS, withRatios } from './scenario.ts'
import type { Scenario } from './scenario.ts'
import { summaryOf } from './statistics.ts'

const WRITERS = 32
const ENTRY_BYTES = 256
/** Appends of one writer in a round. */
const APPENDS = { small: 4, full: 100 } as const
/** Appends of a round that has a sync for each. */
const ALONE = { small: 4, full: 200 } as const

interface Variant {
  readonly name: string
  readonly appends: number
  run(): Promise<void>
}

export const eventlog: Scenario = {
  name: 'eventlog',
  async run({ size, isCompared, signal }) {
    const dir = await mkdtemp(join(tmpdir(), 'nzb-log-'))
    const logs = openLogs(dir)
    try {
      await logs.open()
      const plain = await open(join(dir, 'plain'), 'a', 0o600)
      try {
        const variants = variantsOf({ logs, plain, size }).slice(0, isCompared ? undefined : 1)
        const rounds = size === 'full' ? FULL_ROUNDS : SMALL_ROUNDS
        const rates = variants.map((): number[] => [])
        for (let round = -1; round < rounds; round++) {
          for (let turn = 0; turn < variants.length; turn++) {
            signal.throwIfAborted()
            const index = (turn + round + 1) % variants.length
            const variant = variants[index]
            if (variant === undefined) continue
            const startedAt = performance.now()
            await variant.run()
            if (round >= 0) rates[index]?.push(variant.appends / ((performance.now() - startedAt) / 1_000))
          }
        }
        await requireWhole(logs, signal)
        return {
          scenario: 'eventlog',
          title: `durable appends of ${ENTRY_BYTES} bytes to an event log`,
          rounds,
          figures: withRatios(
            variants.map(({ name }, i) => ({ name, ...summaryOf(rates[i] ?? []), unit: 'records/s' as const })),
          ),
        }
      } finally {
        await plain.close()
      }
    } finally {
      await logs.close()
      await rm(dir, { recursive: true, force: true })
    }
  },
}

function variantsOf({
  logs,
  plain,
  size,
}: {
  readonly logs: EventLogs
  readonly plain: FileHandle
  readonly size: 'small' | 'full'
}): readonly Variant[] {
  const entry = new Uint8Array(ENTRY_BYTES).fill(0x61)
  return [
    {
      name: `nzcore, ${WRITERS} writers`,
      appends: WRITERS * APPENDS[size],
      run: async () => {
        const writer = async (): Promise<void> => {
          for (let n = 0; n < APPENDS[size]; n++) await logs.append('bench', [entry])
        }
        await Promise.all(Array.from({ length: WRITERS }, writer))
      },
    },
    {
      name: 'nzcore, one by one',
      appends: ALONE[size],
      run: async () => {
        for (let n = 0; n < ALONE[size]; n++) await logs.append('bench', [entry])
      },
    },
    {
      name: 'plain file, fsync each',
      appends: ALONE[size],
      run: async () => {
        for (let n = 0; n < ALONE[size]; n++) {
          await plain.write(entry)
          await plain.datasync()
        }
      },
    },
  ]
}

function openLogs(dir: string): EventLogs {
  const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  const kept = new Map<string, Uint8Array>()
  const notes = new WitnessNotes({
    get: async (key) => await Promise.resolve(kept.get(key) ?? null),
    put: async (key, value) => await Promise.resolve(void kept.set(key, value)),
    async *range() {
      for (const [key, value] of kept) yield await Promise.resolve({ key, value })
    },
  })
  const keys = new LogKeys(systemRandom.bytes(32))
  const services = {
    keys,
    notes,
    clock: systemClock,
    random: systemRandom,
    log: silent,
    events: { emit: () => undefined },
    signer: { self: { peerId: '' }, signAsNode: () => new Uint8Array(64) },
  }
  const limits = { segmentBytes: 16_777_216, segmentAgeMs: 86_400_000, maxLogBytes: 1_073_741_824 }
  return new EventLogs(join(dir, 'eventlog'), services, limits)
}

/** A log that lost entries or their order would be quick, and wrong. */
async function requireWhole(logs: EventLogs, signal: AbortSignal): Promise<void> {
  const { isIntact, entries, last } = await logs.verify('bench', { signal })
  if (!isIntact || entries !== last) throw new Error('the log does not prove itself')
}
