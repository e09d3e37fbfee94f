/** Every entry of a log against its predecessor, its head and its note; what does not hold is told. NZ-LOG-01 §5. */
import { hashOf, hexOf } from '../../protocols/eventlog/entry.ts'
import { MAX_DAMAGES } from './examine.ts'
import { lastOf } from './reading.ts'
import { diskReason } from './segment-file.ts'
import { eventLogErrors } from './service.ts'
import { SegmentDamage, walkSegment } from './walk.ts'
import type { LogHead, LogWitness } from '../../protocols/eventlog/frame.ts'
import type { Log } from './log.ts'
import type { Segment } from './segment-file.ts'
import type { LogDamage, LogProof, VerifyOptions } from './service.ts'
import type { ChainPoint } from './walk.ts'

/** Entries between two tellings of progress, and between two looks at the signal. */
const PROGRESS_EVERY = 4_096

export interface Lost {
  readonly from: number
  readonly to: number
}

/** What one segment proved to be. */
export interface SegmentProof {
  readonly segment: Segment
  readonly entries: number
  /** Where the proven part ends, and the chain there; `null` when not even its start is proven. */
  readonly end: number
  readonly chain: ChainPoint | null
  readonly lost: readonly Lost[]
  readonly damage: LogDamage | null
}

/** @throws NZ_LOG_UNAVAILABLE when the disk cannot be read */
export async function proveLog(log: Log, witness: LogWitness | null, options: VerifyOptions): Promise<LogProof> {
  const { signal, onProgress } = options
  // What is appended meanwhile is for another time.
  const { head, segments } = log
  const damaged: LogDamage[] = []
  const lost: Lost[] = []
  let entries = 0
  let isForked = false
  let last: SegmentProof | null = null
  const onEntry = (sequence: number, hash: Uint8Array): void => {
    entries += 1
    isForked ||= sequence === witness?.sequence && hexOf(hash) !== witness.hash
    if (entries % PROGRESS_EVERY !== 0) return
    signal.throwIfAborted()
    onProgress?.(entries)
  }
  for (const segment of segments) {
    if (head !== null && segment.number > head.segment) break
    const proof = await proveSegment(log, segment, { head, segments, after: last, onEntry })
    // Trimmed while it was read.
    if (!log.segments.some(({ number }) => number === segment.number)) continue
    last = proof
    lost.push(...proof.lost)
    if (proof.damage !== null) damaged.push(proof.damage)
  }
  if (head !== null && last?.damage === null && hexOf(last.chain?.previous ?? new Uint8Array()) !== head.hash) {
    damaged.push({
      segment: head.segment,
      from: last.chain?.next ?? 1,
      to: head.sequence,
      why: 'the head does not fit',
    })
  }
  if (isForked) damaged.push({ segment: 0, from: 1, to: null, why: 'the log is not the one that was noted' })
  for (const damage of damaged) log.noteDamage(damage)
  const known = damaged.concat(log.damaged.filter(({ segment, from }) => !hasDamage(damaged, segment, from)))
  return {
    log: log.place.name,
    isIntact: known.length === 0 && log.trouble?.kind !== 'damaged',
    entries,
    first: log.status().first,
    last: last?.chain === null || last === null ? 0 : last.chain.next - 1,
    hash: last?.chain?.previous ?? new Uint8Array(32),
    damaged: known.slice(0, MAX_DAMAGES),
    lost,
    isWitnessed: witness !== null,
  }
}

/** The log that a segment is proven to be a part of. */
export interface SegmentContext extends Pick<Log, 'head' | 'segments'> {
  /** What came before it. */
  readonly after: SegmentProof | null
  readonly onEntry?: (sequence: number, hash: Uint8Array) => void
}

/** Follows one segment as far as it holds. */
export async function proveSegment(
  log: Log,
  segment: Segment,
  { head, segments, after, onEntry }: SegmentContext,
): Promise<SegmentProof> {
  const isLast = segment.number === head?.segment
  const lost: Lost[] = []
  let entries = 0
  let end = 0
  let chain: ChainPoint | null = null
  let damage: LogDamage | null = null
  try {
    const expected = expectedOf(head, segment, after)
    for await (const step of walkSegment({ ...log.place, segment, expected, ...(isLast ? { end: head.end } : {}) })) {
      ;({ end, chain } = step)
      if (step.type === 'gap') lost.push({ from: step.gap.from, to: step.gap.to })
      if (step.type !== 'entry') continue
      entries += 1
      onEntry?.(step.entry.sequence, step.chain.previous)
    }
    const following = segments.find(({ number }) => number > segment.number)
    if (!isLast && chain !== null && following !== undefined && following.first !== chain.next) {
      throw new SegmentDamage('the segment was cut or exchanged', { offset: end, next: chain.next })
    }
  } catch (error) {
    if (!(error instanceof SegmentDamage)) {
      throw eventLogErrors.NZ_LOG_UNAVAILABLE({ why: diskReason(error), cause: error })
    }
    damage = { segment: segment.number, from: error.next, to: lastOf({ head, segments }, segment), why: error.message }
  }
  return { segment, entries, end, chain, lost, damage }
}

/** Behind damage a segment's own word counts: its start is sealed for its place. */
function expectedOf(head: LogHead | null, { number }: Segment, after: SegmentProof | null): ChainPoint | null {
  if (after !== null && after.damage === null && after.segment.number === number - 1) return after.chain
  if (head === null || number !== head.first.segment) return null
  return { next: head.first.sequence, previous: hashOf(head.first.previous) }
}

function hasDamage(damaged: readonly LogDamage[], segment: number, from: number): boolean {
  return damaged.some((one) => one.segment === segment && one.from === from)
}
