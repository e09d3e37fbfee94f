/** One log: entries that wait share a group; trouble is remembered and told; readers hear of growth. NZ-LOG-01 §4. */
import { GroupCommit } from '../../kernel/index.ts'
import { hashOf } from '../../protocols/eventlog/entry.ts'
import { examineLog, MAX_DAMAGES } from './examine.ts'
import { repairLog } from './repair.ts'
import { diskReason } from './segment-file.ts'
import { eventLogErrors } from './service.ts'
import { SparseIndex } from './sparse-index.ts'
import { TailWriter } from './tail-writer.ts'
import type { Clock, Logger, Random } from '../../kernel/index.ts'
import type { LogHead, LogWitness } from '../../protocols/eventlog/frame.ts'
import type { LogPlace } from './examine.ts'
import type { LogKeys } from './keys.ts'
import type { Repaired } from './repair.ts'
import type { Segment } from './segment-file.ts'
import type { Appended, LogDamage, LogStatus } from './service.ts'
import type { NewEntry, RestoredPart } from './tail-writer.ts'

export interface LogServices {
  readonly keys: LogKeys
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Told when a log gets into trouble and out of it. */
  readonly onTrouble: (log: string, trouble: 'readOnly' | 'writable' | LogDamage, why: string) => void
  /** Notes outside of the log how far it has come. */
  readonly note: (head: LogHead) => Promise<void>
  /** What was noted; `null` when nothing was, or when it cannot be read now. */
  readonly noted: (log: string) => Promise<LogWitness | null>
}

export interface LogLimits {
  readonly segmentBytes: number
  readonly segmentAgeMs: number
  readonly maxLogBytes: number
}

/** `damaged`: no entry may follow until a repair; `disk`: the next append tries again. */
export type Trouble = { readonly kind: 'damaged' | 'disk'; readonly why: string }

interface Write {
  readonly entries: readonly NewEntry[]
  readonly bytes: number
  readonly resolve: (appended: Appended) => void
  readonly reject: (error: Error) => void
}

const GROUPS = {
  maxGroupChanges: 1_024,
  maxGroupBytes: 4_194_304,
  maxWaiting: 8_192,
  maxWaitingBytes: 33_554_432,
  onFull: (): Error => eventLogErrors.NZ_LOG_BUSY({ why: 'too many entries wait' }),
} as const

/** What an entry takes up on disk beside its payload. */
const ENTRY_OVERHEAD_BYTES = 99
/** Readers of one log that wait for it to grow. */
export const MAX_FOLLOWERS = 256

export class Log {
  readonly place: LogPlace
  readonly index = new SparseIndex()
  readonly writer: TailWriter
  readonly commits: GroupCommit<Write>
  readonly #services: LogServices
  readonly #limits: LogLimits
  readonly #followers = new Set<() => void>()
  readonly #damaged: LogDamage[] = []
  #trouble: Trouble | null = null
  #notedHash: string | null = null
  #isClosed = false

  constructor(place: Pick<LogPlace, 'dir' | 'name' | 'logId'>, services: LogServices, limits: LogLimits) {
    this.place = { ...place, keys: services.keys }
    this.#services = services
    this.#limits = limits
    this.writer = new TailWriter(this.place, { ...services, index: this.index })
    this.commits = new GroupCommit(async (group) => await this.#commit(group), GROUPS)
  }

  get head(): LogHead | null {
    return this.writer.head
  }

  get segments(): readonly Segment[] {
    return this.writer.segments
  }

  get trouble(): Trouble | null {
    return this.#trouble
  }

  get damaged(): readonly LogDamage[] {
    return this.#damaged
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Takes over what lies on disk: whether there is such a log. What is wrong with it is told by `status`. */
  async open(): Promise<boolean> {
    try {
      const witness = await this.#services.noted(this.place.name)
      const found = await examineLog(this.place, witness)
      if (found.kind === 'none') return false
      this.#damaged.length = 0
      this.#trouble = null
      this.index.forget()
      if (found.kind === 'damaged') {
        this.writer.show(found.head, found.segments)
        this.#trouble = { kind: 'damaged', why: found.damage.why }
        this.noteDamage(found.damage)
        return true
      }
      await this.writer.load(found)
      for (const damage of found.damaged) this.noteDamage(damage)
      this.#notedHash = witness?.hash ?? null
      await this.keepWitness()
    } catch (error) {
      this.#trouble = { kind: 'disk', why: diskReason(error) }
      this.#services.log.error('eventlog.notOpened', { name: this.place.name, error })
    }
    return true
  }

  /** Makes the log, durable when it resolves. Only where `open` found none. @throws NZ_LOG_READ_ONLY */
  async create(): Promise<void> {
    try {
      await this.#services.note(await this.writer.create())
    } catch (error) {
      throw eventLogErrors.NZ_LOG_READ_ONLY({ why: diskReason(error), cause: error })
    }
  }

  /** Durable when it resolves. @throws NZ_LOG_BUSY, NZ_LOG_QUOTA, NZ_LOG_READ_ONLY, NZ_LOG_DAMAGED */
  async append(entries: readonly NewEntry[]): Promise<Appended> {
    this.requireSound()
    const bytes = entries.reduce((sum, { payload }) => sum + payload.byteLength + ENTRY_OVERHEAD_BYTES, 0)
    const { promise, resolve, reject } = Promise.withResolvers<Appended>()
    this.commits.submit({ entries, bytes, resolve, reject })
    return await promise
  }

  /** Ends the segment that is written, unless it is empty. @throws NZ_LOG_READ_ONLY, NZ_LOG_DAMAGED */
  async rotate(): Promise<void> {
    await this.#betweenGroups(async () => {
      if (this.segments.at(-1)?.first !== this.writer.requireHead().sequence + 1) await this.writer.turn()
    })
  }

  /** Deletes the segments before `number`; what was said about it was appended. @throws as `rotate` */
  async dropBefore(number: number): Promise<void> {
    await this.#betweenGroups(async () => {
      await this.writer.dropBefore(number)
      const left = this.#damaged.filter(({ segment }) => segment >= number)
      this.#damaged.splice(0, this.#damaged.length, ...left)
    })
  }

  /** Sets aside what is damaged, and opens the log anew. @throws NZ_LOG_READ_ONLY */
  async repair(): Promise<Repaired> {
    const { clock, random, noted, note } = this.#services
    return await this.commits.exclusive(async () => {
      try {
        const repaired = await repairLog(this, { clock, random, witness: await noted(this.place.name) })
        await note(this.writer.requireHead())
        await this.open()
        return repaired
      } catch (error) {
        throw this.#refusal(error)
      }
    })
  }

  /** Begins anew where nothing is, as a backup says. */
  async restart(begin: Parameters<TailWriter['createAt']>[0]): Promise<void> {
    await this.commits.exclusive(async () => {
      await this.#services.note(await this.writer.createAt(begin))
      this.#damaged.length = 0
      this.#trouble = null
    })
  }

  /** Adds what a backup holds, as it is; it must go on where the log ends. */
  async restore(parts: readonly RestoredPart[]): Promise<void> {
    await this.#betweenGroups(async () => {
      if (this.writer.requireHead().end >= this.#limits.segmentBytes) await this.writer.turn()
      await this.writer.addRestored(parts)
    })
  }

  /** Resolves when the log has grown behind `sequence`, is closed, or `signal` aborts. @throws NZ_LOG_BUSY */
  async grown(sequence: number, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    if (signal.aborted || this.#isClosed || (this.head?.sequence ?? 0) > sequence) return
    if (this.#followers.size >= MAX_FOLLOWERS) throw eventLogErrors.NZ_LOG_BUSY({ why: 'too many follow this log' })
    const { promise, resolve } = Promise.withResolvers<void>()
    const onAbort = (): void => resolve()
    this.#followers.add(resolve)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await promise
    } finally {
      this.#followers.delete(resolve)
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** Waits for what was submitted. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.commits.idle()
    await this.keepWitness()
    await this.writer.release()
    for (const resolve of this.#followers) resolve()
  }

  /** Never throws: without it the log is as good as before, only the note is older. */
  async keepWitness(): Promise<void> {
    const { head } = this
    if (head === null || this.#trouble?.kind === 'damaged' || head.hash === this.#notedHash) return
    try {
      await this.#services.note(head)
      this.#notedHash = head.hash
    } catch (error) {
      this.#services.log.warn('eventlog.notNoted', { name: this.place.name, error })
    }
  }

  noteDamage(damage: LogDamage): void {
    const isKnown = this.#damaged.some(({ segment, from }) => segment === damage.segment && from === damage.from)
    if (isKnown || this.#damaged.length >= MAX_DAMAGES) return
    this.#damaged.push(damage)
    this.#services.log.error('eventlog.damaged', { name: this.place.name, ...damage })
    this.#services.onTrouble(this.place.name, damage, damage.why)
  }

  /** @throws NZ_LOG_DAMAGED, NZ_LOG_UNAVAILABLE when no entry may follow */
  requireSound(): void {
    if (this.#isClosed) throw eventLogErrors.NZ_LOG_UNAVAILABLE({ why: 'the node stops' })
    if (this.#trouble?.kind !== 'damaged') return
    throw eventLogErrors.NZ_LOG_DAMAGED({ why: this.#trouble.why, data: { log: this.place.name } })
  }

  /** @throws NZ_LOG_DAMAGED, NZ_LOG_UNAVAILABLE when it is not known how far the log goes */
  requireReadable(): void {
    if (this.head !== null) return
    this.requireSound()
    throw eventLogErrors.NZ_LOG_UNAVAILABLE({ why: this.#trouble?.why ?? 'it was not opened' })
  }

  status(): LogStatus {
    const { head } = this
    const isDamaged = this.#trouble?.kind === 'damaged' || this.#damaged.length > 0
    const state = isDamaged ? 'damaged' : this.#trouble === null ? 'open' : 'readOnly'
    return {
      name: this.place.name,
      state,
      code: { open: null, readOnly: 'NZ_LOG_READ_ONLY', damaged: 'NZ_LOG_DAMAGED' }[state],
      why: this.#trouble?.why ?? this.#damaged[0]?.why ?? null,
      isAppendable: this.#trouble === null,
      first: head?.first.sequence ?? this.segments[0]?.first ?? 1,
      last: head?.sequence ?? 0,
      hash: head === null ? new Uint8Array(32) : hashOf(head.hash),
      segments: this.segments.length,
      bytes: this.writer.bytes,
      damaged: [...this.#damaged],
    }
  }

  async #betweenGroups(work: () => Promise<void>): Promise<void> {
    await this.commits.exclusive(async () => {
      this.requireSound()
      try {
        await this.#reopened()
        await work()
      } catch (error) {
        throw this.#refusal(error)
      }
      this.#working()
    })
    await this.keepWitness()
  }

  async #commit(group: readonly Write[]): Promise<void> {
    const taken: Write[] = []
    try {
      await this.#reopened()
      let { bytes } = this.writer
      for (const write of group) {
        bytes += write.bytes
        // What a log says of itself has room always: it is how it gets room again.
        const isStatement = write.entries.every(({ kind }) => kind === 'statement')
        if (bytes <= this.#limits.maxLogBytes || isStatement) taken.push(write)
        else write.reject(eventLogErrors.NZ_LOG_QUOTA({ data: { log: this.place.name, ...this.#limits } }))
      }
      if (taken.length === 0) return
      await this.#turnIfDue()
      let next = this.writer.requireHead().sequence + 1
      const { hash } = await this.writer.add(taken.flatMap(({ entries }) => entries))
      this.#working()
      for (const { entries, resolve } of taken) {
        resolve({ first: next, last: next + entries.length - 1, hash: hashOf(hash) })
        next += entries.length
      }
      for (const resolve of this.#followers) resolve()
    } catch (error) {
      const refusal = this.#refusal(error)
      for (const { reject } of group) reject(refusal)
    }
  }

  async #turnIfDue(): Promise<void> {
    const { segmentBytes, segmentAgeMs } = this.#limits
    const head = this.writer.requireHead()
    const isEmpty = this.segments.at(-1)?.first === head.sequence + 1
    if (!isEmpty && (head.end >= segmentBytes || this.writer.ageMs >= segmentAgeMs)) await this.writer.turn()
  }

  /** A log that could not be opened when the node started is opened now. */
  async #reopened(): Promise<void> {
    if (this.head !== null) return
    if (!(await this.open())) await this.create()
    this.requireSound()
    if (this.#trouble !== null) throw eventLogErrors.NZ_LOG_READ_ONLY({ why: this.#trouble.why })
  }

  #working(): void {
    if (this.#trouble === null) return
    this.#trouble = null
    this.#services.onTrouble(this.place.name, 'writable', '')
  }

  /** What callers are told of a failure; the next append tries again. */
  #refusal(error: unknown): Error {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('NZ_')) return error
    const why = diskReason(error)
    if (this.#trouble === null) {
      this.#trouble = { kind: 'disk', why }
      this.#services.log.error('eventlog.readOnly', { name: this.place.name, error })
      this.#services.onTrouble(this.place.name, 'readOnly', why)
    }
    return eventLogErrors.NZ_LOG_READ_ONLY({ why, cause: error, data: { log: this.place.name } })
  }
}
