/** Event logs in a folder of their own, with the store that notes them in the test's hands. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock, systemRandom } from '../../kernel/index.ts'
import { EventLogs } from '../../modules/eventlog/event-logs.ts'
import { LogKeys } from '../../modules/eventlog/keys.ts'
import { WitnessNotes } from '../../modules/eventlog/witness.ts'
import { openDiskStore } from './disk-store.ts'
import { fakeIdentity } from './identity.ts'
import { memoryDisk, openStore } from './storage.ts'
import type { Clock, Random } from '../../kernel/index.ts'
import type { LogLimits } from '../../modules/eventlog/log.ts'
import type { StateFiles } from '../../modules/home/state-files.ts'
import type { IdentityService } from '../../modules/identity/service.ts'
import type { LogItem } from '../../modules/eventlog/service.ts'
import type { Storage } from '../../modules/storage/storage.ts'
import type { MemoryDisk } from './storage.ts'

export interface FakeLogs extends AsyncDisposable {
  readonly dir: string
  readonly disk: MemoryDisk
  readonly told: string[]
  /** Those that were opened last. */
  readonly logs: EventLogs
  /** As after a crash, or in order when `closes`. */
  reopen(options?: Partial<LogLimits> & { readonly closes?: boolean }): Promise<EventLogs>
}

export interface FakeLogsInit extends Partial<LogLimits> {
  readonly clock?: Clock
  readonly random?: Random
  /** First byte of the root key. */
  readonly seed?: number
  readonly dir?: string
  readonly signer?: IdentityService
  readonly disk?: MemoryDisk
}

export const text = (payload: Uint8Array): string => Buffer.from(payload).toString()
export const bytes = (value: string): Uint8Array => Uint8Array.from(Buffer.from(value))
export const never: AbortSignal = new AbortController().signal

export async function itemsOf(items: AsyncIterable<LogItem>): Promise<readonly LogItem[]> {
  const found: LogItem[] = []
  for await (const item of items) found.push(item)
  return found
}

/** `3:text`, or `[4-6]` for a gap. */
export async function shown(items: AsyncIterable<LogItem>): Promise<readonly string[]> {
  return (await itemsOf(items)).map((item) =>
    item.type === 'gap' ? `[${item.from}-${item.to}]` : `${item.sequence}:${text(item.payload)}`,
  )
}

export async function fakeLogs(init: FakeLogsInit = {}): Promise<FakeLogs> {
  const { clock = systemClock, random = systemRandom, seed = 1, disk = memoryDisk(), ...more } = init
  const { dir: given, signer = fakeIdentity(1), ...limits } = more
  const dir = given ?? (await mkdtemp(join(tmpdir(), 'nz-log-')))
  const told: string[] = []
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const open = async (more: Partial<LogLimits>): Promise<{ logs: EventLogs; storage: Storage }> => {
    const storage = await openStore({ disk, clock })
    const notes = new WitnessNotes(storage.namespace('eventlog'))
    const keys = new LogKeys(new Uint8Array(32).fill(seed))
    const events = { emit: ({ name }: { name: string }) => void told.push(name) }
    const bounds = { segmentBytes: 16_777_216, segmentAgeMs: 86_400_000, maxLogBytes: 1_073_741_824 }
    const options = { ...bounds, ...limits, ...more }
    const logs = new EventLogs(join(dir, 'eventlog'), { keys, clock, random, log, events, notes, signer }, options)
    await logs.open()
    return { logs, storage }
  }
  let opened = await open({})
  const close = async (): Promise<void> => {
    await opened.logs.close()
    await opened.storage.close()
  }
  return {
    dir,
    disk,
    told,
    get logs() {
      return opened.logs
    },
    async reopen({ closes = true, ...more } = {}) {
      if (closes) await close()
      else for (const log of opened.logs.logs) await log.writer.release()
      opened = await open(more)
      return opened.logs
    },
    async [Symbol.asyncDispose]() {
      await close()
      if (given === undefined) await rm(dir, { recursive: true, force: true })
    },
  }
}

/** Logs and the store that notes them in one folder, as a daemon has them. */
export async function openDiskLogs(
  dir: string,
  state: StateFiles,
): Promise<AsyncDisposable & { readonly logs: EventLogs }> {
  await mkdir(dir, { recursive: true })
  const storage = await openDiskStore(dir, state)
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const services = { clock: systemClock, random: systemRandom, log, signer: fakeIdentity(1), events: { emit() {} } }
  const notes = new WitnessNotes(storage.namespace('eventlog'))
  const keys = new LogKeys(new Uint8Array(32).fill(1))
  const limits = { segmentBytes: 65_536, segmentAgeMs: 86_400_000, maxLogBytes: 1_073_741_824 }
  const logs = new EventLogs(join(dir, 'eventlog'), { ...services, keys, notes }, limits)
  await logs.open()
  return {
    logs,
    async [Symbol.asyncDispose]() {
      await logs.close()
      await storage.close()
    },
  }
}
