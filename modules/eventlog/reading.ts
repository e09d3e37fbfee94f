/** Entries of a log in order, proven one by one, from any place, in bounded memory. spec/NZ-LOG-01.md §6. */
import { hashOf, hexOf } from '../../protocols/eventlog/entry.ts'
import { diskReason } from './segment-file.ts'
import { eventLogErrors } from './service.ts'
import { SegmentDamage, walkSegment } from './walk.ts'
import type { Log } from './log.ts'
import type { Segment } from './segment-file.ts'
import type { LogDamage, LogItem, ReadOptions } from './service.ts'
import type { ChainPoint, Step } from './walk.ts'

/**
 * What comes after `after` and was acknowledged when it was asked for.
 *
 * @throws NZ_LOG_DAMAGED where something does not prove itself, NZ_LOG_UNAVAILABLE
 */
export async function* readLog(log: Log, options: ReadOptions): AsyncGenerator<LogItem> {
  const { limit = Number.POSITIVE_INFINITY, signal } = options
  let left = limit
  for await (const item of itemsOf(log, options.after ?? 0)) {
    if (left-- <= 0 || signal.aborted) return
    yield item
  }
}

/** As `readLog`, then what is appended, until `signal` aborts or the log is closed. */
export async function* tailLog(log: Log, { after = 0, limit, signal }: ReadOptions): AsyncGenerator<LogItem> {
  let last = after
  let left = limit ?? Number.POSITIVE_INFINITY
  while (!signal.aborted && !log.isClosed && left > 0) {
    for await (const item of readLog(log, { after: last, limit: left, signal })) {
      last = item.type === 'gap' ? item.to : item.sequence
      left -= 1
      yield item
    }
    if (left > 0) await log.grown(last, { signal })
  }
}

async function* itemsOf(log: Log, after: number): AsyncGenerator<LogItem> {
  const until = log.head
  let next = after + 1
  /** Behind the segment that was read; `null` when reading begins in the middle. */
  let chain: ChainPoint | null = null
  for (let number = firstSegmentFor(log, next); ; number += 1) {
    const trimmed = trimmedBefore(log, next)
    if (trimmed !== null) {
      yield trimmed
      next = trimmed.to + 1
      number = log.head?.first.segment ?? number
      chain = null
    }
    const segment = log.segments.find((one) => one.number === number)
    if (segment === undefined || (until !== null && next < segment.first)) break
    const isLast = number === until?.segment
    try {
      for await (const step of stepsFrom(log, segment, { next, chain, end: isLast ? until.end : undefined })) {
        chain = step.chain
        const item = itemOf(step, next)
        if (item === null) continue
        next = item.type === 'gap' ? item.to + 1 : item.sequence + 1
        yield item
      }
      requireEnd(log, segment, { chain, hash: isLast ? until.hash : null })
    } catch (error) {
      // Deleted by a trim while it was read: told as such in the next round.
      if (log.segments.some((one) => one.number === number)) throw damageOf(log, segment, error)
    }
    if (isLast) break
  }
  const isShort = until !== null && next <= until.sequence
  if (log.trouble?.kind === 'damaged' || isShort) throw told(log, log.trouble?.why ?? 'a segment is missing', next)
}

/** A segment ends where the next one begins; the last one with the hash that the head knows. */
function requireEnd(
  { segments }: Log,
  { number }: Segment,
  { chain, hash }: { readonly chain: ChainPoint | null; readonly hash: string | null },
): void {
  if (chain === null) return
  const following = segments.find((one) => one.number === number + 1)
  const isCut = hash === null && following !== undefined && following.first !== chain.next
  const isOther = hash !== null && hash !== hexOf(chain.previous)
  if (isCut || isOther) throw new SegmentDamage('the segment was cut or exchanged', { offset: 0, next: chain.next })
}

function stepsFrom(
  log: Log,
  segment: Segment,
  { next, chain, end }: { readonly next: number; readonly chain: ChainPoint | null; readonly end: number | undefined },
): AsyncIterable<Step> {
  const point = chain === null ? log.index.pointBefore(segment.number, next) : null
  const from = point === null ? { expected: chain ?? expectedOf(log, segment) } : { from: point }
  const steps = walkSegment({ ...log.place, segment, ...from, ...(end === undefined ? {} : { end }) })
  return indexing(log, segment, steps)
}

async function* indexing(log: Log, { number }: Segment, steps: AsyncIterable<Step>): AsyncGenerator<Step> {
  for await (const step of steps) {
    log.index.note(number, { offset: step.end, chain: step.chain })
    yield step
  }
}

/** What the head says of the oldest segment; of others the caller knows by having read what comes before. */
function expectedOf({ head }: Log, { number }: Segment): ChainPoint | null {
  if (head === null || number !== head.first.segment) return null
  return { next: head.first.sequence, previous: hashOf(head.first.previous) }
}

function itemOf(step: Step, next: number): LogItem | null {
  if (step.type === 'start') return null
  const { previous } = step.chain
  if (step.type === 'gap') {
    const { from, to } = step.gap
    return to < next ? null : { type: 'gap', reason: 'lost', from: Math.max(from, next), to, previous }
  }
  const { entry } = step
  return entry.sequence < next ? null : { type: 'entry', ...entry, hash: previous }
}

function firstSegmentFor({ segments }: Log, next: number): number {
  return (segments.findLast(({ first }) => first <= next) ?? segments[0])?.number ?? 0
}

function trimmedBefore({ head }: Log, next: number): (LogItem & { readonly type: 'gap' }) | null {
  if (head === null || next >= head.first.sequence) return null
  const { sequence, previous } = head.first
  return { type: 'gap', reason: 'trimmed', from: next, to: sequence - 1, previous: hashOf(previous) }
}

function damageOf(log: Log, segment: Segment, error: unknown): Error {
  if (!(error instanceof SegmentDamage)) {
    return eventLogErrors.NZ_LOG_UNAVAILABLE({ why: diskReason(error), cause: error, data: { log: log.place.name } })
  }
  const damage = { segment: segment.number, from: error.next, to: lastOf(log, segment), why: error.message }
  log.noteDamage(damage)
  return told(log, damage.why, damage.from)
}

function told(log: Log, why: string, from: number): Error {
  return eventLogErrors.NZ_LOG_DAMAGED({ why, data: { log: log.place.name, from } })
}

/** The last entry that a segment holds or held. */
export function lastOf({ segments, head }: Pick<Log, 'segments' | 'head'>, { number }: Segment): LogDamage['to'] {
  const following = segments.find((one) => one.number > number)
  return following === undefined ? (head?.sequence ?? null) : following.first - 1
}
