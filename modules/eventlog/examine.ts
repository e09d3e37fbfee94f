/** What lies on disk of one log, compared with its head and its witness. Changes nothing. spec/NZ-LOG-01.md §4, §5. */
import { isErrno } from '../../kernel/index.ts'
import { hashOf, hexOf } from '../../protocols/eventlog/entry.ts'
import { readHead } from './head-file.ts'
import { listSegments } from './segment-file.ts'
import { SegmentDamage, walkSegment } from './walk.ts'
import type { LogHead, LogWitness } from '../../protocols/eventlog/frame.ts'
import type { LogKeys } from './keys.ts'
import type { Segment } from './segment-file.ts'
import type { LogDamage } from './service.ts'
import type { Step } from './walk.ts'

export interface LogPlace {
  readonly dir: string
  readonly name: string
  readonly logId: Uint8Array
  readonly keys: LogKeys
}

export type Examined =
  /** Never made, or made by half before the first acknowledgement. */
  | { readonly kind: 'none' }
  /** What was acknowledged is not there: no entry may follow until a repair. */
  | {
      readonly kind: 'damaged'
      readonly head: LogHead | null
      readonly segments: readonly Segment[]
      readonly damage: LogDamage
    }
  | {
      readonly kind: 'sound'
      /** Entries behind the head that hold together are part of it. */
      readonly head: LogHead
      readonly segments: readonly Segment[]
      /** Those with such entries: who wrote them may have been killed before they were durable. */
      readonly adopted: readonly Segment[]
      /** What a crash left behind its end. */
      readonly torn: { readonly path: string; readonly end: number } | null
      /** Segments that are no part of the log any more, or not yet. */
      readonly strays: readonly Segment[]
      readonly isHeadWhole: boolean
      /** Damage before the end. */
      readonly damaged: readonly LogDamage[]
      readonly startedAtMs: number | null
    }

export async function examineLog(place: LogPlace, witness: LogWitness | null): Promise<Examined> {
  const segments = await segmentsOf(place.dir)
  const found = await readHead(place.dir, place)
  if (found.head === null) return await withoutHead(place, segments, witness)
  const { head } = found
  const current = segments.find(({ number }) => number === head.segment)
  const damagedAt = (why: string, from: number, to: number | null): Examined => {
    return { kind: 'damaged', head, segments, damage: { segment: head.segment, from, to, why } }
  }
  if (current === undefined) return damagedAt('the segment that is written is missing', head.sequence + 1, null)
  if (current.bytes < head.end) return damagedAt('the log was cut', current.first, head.sequence)
  const adopted = await adopt(place, { head, segments, witness })
  const rollback = rollbackOf(adopted, witness)
  const { first, segment, sequence } = adopted.head
  if (rollback !== null) {
    const damage = { segment, from: sequence + 1, to: witness?.sequence ?? null, why: rollback }
    return { kind: 'damaged', head: adopted.head, segments, damage }
  }
  const isAdopted = sequence !== head.sequence || segment !== head.segment
  return {
    kind: 'sound',
    head: adopted.head,
    segments: segments.filter(({ number }) => number >= first.segment && number <= segment),
    adopted: segments.filter(({ number }) => isAdopted && number >= head.segment && number <= segment),
    torn: adopted.torn,
    strays: segments.filter(({ number }) => number < first.segment || number > segment),
    isHeadWhole: found.isWhole && !isAdopted,
    damaged: missingOf(adopted.head, segments),
    startedAtMs: await startOf(place, segments, segment),
  }
}

async function segmentsOf(dir: string): Promise<readonly Segment[]> {
  try {
    return await listSegments(dir)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return []
    throw error
  }
}

async function withoutHead(
  place: LogPlace,
  segments: readonly Segment[],
  witness: LogWitness | null,
): Promise<Examined> {
  const [only] = segments
  if (witness === null && segments.length <= 1 && (only === undefined || !(await holdsEntries(place, only)))) {
    return { kind: 'none' }
  }
  const why = segments.length === 0 ? 'the log is missing' : 'the head of the log is damaged or missing'
  const damage = { segment: segments.at(-1)?.number ?? 0, from: only?.first ?? 1, to: witness?.sequence ?? null, why }
  return { kind: 'damaged', head: null, segments, damage }
}

async function holdsEntries(place: LogPlace, segment: Segment): Promise<boolean> {
  if (segment.number !== 1) return true
  try {
    for await (const step of walkSegment({ ...place, segment })) if (step.type !== 'start') return true
  } catch (error) {
    if (!(error instanceof SegmentDamage)) throw error
    // A start that was torn; behind a whole one something that was not acknowledged either.
  }
  return false
}

interface Adopted {
  readonly head: LogHead
  readonly torn: { readonly path: string; readonly end: number } | null
  /** Whether the entry that the witness names was met with another hash. */
  readonly isForked: boolean
}

/** Follows the chain behind the head as far as it holds. */
async function adopt(
  place: LogPlace,
  init: { readonly head: LogHead; readonly segments: readonly Segment[]; readonly witness: LogWitness | null },
): Promise<Adopted> {
  const { segments, witness } = init
  let { head } = init
  let isForked = head.sequence === witness?.sequence && head.hash !== witness.hash
  const take = (step: Step, segment: Segment): void => {
    head = behind(head, step, segment)
    isForked ||= head.sequence === witness?.sequence && head.hash !== witness.hash
  }
  for (;;) {
    const segment = segments.find(({ number }) => number === head.segment)
    if (segment === undefined) return { head, torn: null, isForked }
    const chain = { next: head.sequence + 1, previous: hashOf(head.hash) }
    try {
      for await (const step of walkSegment({ ...place, segment, from: { offset: head.end, chain } })) {
        take(step, segment)
      }
    } catch (error) {
      if (!(error instanceof SegmentDamage)) throw error
      return { head, torn: { path: segment.path, end: head.end }, isForked }
    }
    const following = segments.find(({ number }) => number === head.segment + 1)
    if (following === undefined) return { head, torn: null, isForked }
    const expected = { next: head.sequence + 1, previous: hashOf(head.hash) }
    try {
      for await (const step of walkSegment({ ...place, segment: following, expected })) {
        take(step, following)
        break
      }
    } catch (error) {
      if (!(error instanceof SegmentDamage)) throw error
      return { head, torn: null, isForked }
    }
  }
}

/** The head after `step`. */
export function behind(head: LogHead, { end, chain }: Step, { number }: Pick<Segment, 'number'>): LogHead {
  return { ...head, sequence: chain.next - 1, hash: hexOf(chain.previous), segment: number, end }
}

function rollbackOf({ head, isForked }: Adopted, witness: LogWitness | null): string | null {
  if (witness === null) return null
  if (witness.uid !== head.uid) return 'another log lies in its place'
  if (head.sequence < witness.sequence) return 'the log is older than when it was last noted'
  return isForked ? 'the log is not the one that was noted' : null
}

function missingOf(head: LogHead, segments: readonly Segment[]): readonly LogDamage[] {
  const damaged: LogDamage[] = []
  let next = head.first.sequence
  for (let number = head.first.segment; number < head.segment && damaged.length < MAX_DAMAGES; number++) {
    const after = segments.find((one) => one.number > number)
    if (!segments.some((one) => one.number === number)) {
      damaged.push({ segment: number, from: next, to: (after?.first ?? next) - 1, why: 'a segment is missing' })
    }
    next = after?.first ?? next
  }
  return damaged
}

/** Damages of one log that are told apart. */
export const MAX_DAMAGES = 64

async function startOf(place: LogPlace, segments: readonly Segment[], number: number): Promise<number | null> {
  const segment = segments.find((one) => one.number === number)
  if (segment === undefined) return null
  try {
    for await (const step of walkSegment({ ...place, segment })) return step.type === 'start' ? step.start.atMs : null
  } catch (error) {
    if (!(error instanceof SegmentDamage)) throw error
    // Reading meets it again and tells it; the age of the segment is simply not known.
  }
  return null
}
