/**
 * A damaged log goes on: of each damaged segment the proven beginning stays, followed by a statement of what is lost;
 * the file as it was lies in the folder `damaged`. A crash half-way leaves a log that is repaired anew. NZ-LOG-01 §5.
 */
import { copyFile, mkdir, open, rename } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { syncFolder } from '../../kernel/index.ts'
import { genesisHash, hashOf, hexOf, UID_BYTES } from '../../protocols/eventlog/entry.ts'
import { encodeStatement } from '../../protocols/eventlog/frame.ts'
import { ASIDE_FOLDER, segmentPath, writeAll, writeNewFile } from './segment-file.ts'
import { proveSegment } from './verify.ts'
import { SegmentDamage, walkSegment } from './walk.ts'
import type { Clock, Random } from '../../kernel/index.ts'
import type { LogWitness, SegmentStart } from '../../protocols/eventlog/frame.ts'
import type { Log } from './log.ts'
import type { Segment } from './segment-file.ts'
import type { Lost, SegmentProof } from './verify.ts'
import type { ChainPoint } from './walk.ts'

export interface Repaired {
  readonly setAside: number
  readonly lost: readonly Lost[]
}

interface RepairServices {
  readonly clock: Clock
  readonly random: Random
  readonly witness: LogWitness | null
}

/** Between two groups only. Afterwards the log is opened anew. @throws errors of the disk as they are */
export async function repairLog(log: Log, services: RepairServices): Promise<Repaired> {
  const { witness } = services
  await log.writer.release()
  const known = knownEnd(log, witness)
  if (log.segments.length === 0) return await beginAnew(log, services, known)
  const repair = new Repair(log, services)
  const proofs: SegmentProof[] = []
  const { head, segments } = log
  const oldest = head?.first
  for (const segment of segments) {
    // Left behind by a trim.
    if (segment.number < (oldest?.segment ?? 0)) continue
    proofs.push(await proveSegment(log, segment, { head, segments, after: proofs.at(-1) ?? null }))
  }
  const begin = proofs[0]?.segment.first ?? 1
  if (oldest !== undefined && begin > oldest.sequence) repair.lost.push({ from: oldest.sequence, to: begin - 1 })
  const uid = (await uidOf(log)) ?? witness?.uid ?? hexOf(services.random.bytes(UID_BYTES))
  for (const [at, proof] of proofs.entries()) {
    const following = proofs[at + 1]
    const next =
      following?.segment.first ?? Math.max(proof.chain?.next ?? proof.segment.first, (known?.sequence ?? 0) + 1)
    const told = following === undefined ? null : await previousOf(log, following.segment)
    // Also of an empty last segment that cannot tell: whatever is mended before it ends where the log is known to end.
    const previous = told ?? (known !== null && next === known.sequence + 1 ? known.hash : null)
    await repair.mend(proof, { uid, next, previous })
  }
  await repair.finish(uid)
  return { setAside: repair.setAside, lost: repair.lost }
}

/** How far the log is known to have come, by its head or its note. */
function knownEnd({ head }: Log, witness: LogWitness | null): { sequence: number; hash: string } | null {
  if (head === null) return witness
  return witness !== null && witness.uid === head.uid && witness.sequence > head.sequence ? witness : head
}

async function beginAnew(
  log: Log,
  { witness, random }: RepairServices,
  known: { sequence: number; hash: string } | null,
): Promise<Repaired> {
  const uid = log.head?.uid ?? witness?.uid ?? hexOf(random.bytes(UID_BYTES))
  const segment = Math.max(log.head?.segment ?? 0, witness?.segment ?? 0) + 1
  const sequence = (known?.sequence ?? 0) + 1
  const previous = known?.hash ?? hexOf(genesisHash(log.place.name, hashOf(uid)))
  await log.writer.createAt({ uid, segment, sequence, previous })
  return { setAside: 0, lost: sequence > 1 ? [{ from: 1, to: sequence - 1 }] : [] }
}

class Repair {
  readonly lost: Lost[] = []
  setAside = 0
  readonly #log: Log
  readonly #services: RepairServices
  readonly #segments: Segment[] = []
  #chain: ChainPoint | null = null
  #end = 0

  constructor(log: Log, services: RepairServices) {
    this.#log = log
    this.#services = services
  }

  /** Makes `proof` a segment that ends before the entry `next`, whose predecessor has the hash `previous`. */
  async mend(
    proof: SegmentProof,
    { uid, next, previous }: { readonly uid: string; readonly next: number; readonly previous: string | null },
  ): Promise<void> {
    await this.#fillHole(proof.segment, uid)
    const isWhole = proof.damage === null && proof.chain?.next === next
    if (isWhole) {
      this.#take(proof.segment, proof.chain, proof.end)
      return
    }
    const { segment } = proof
    const begin = proof.chain ?? this.#chain ?? { next: segment.first, previous: this.#firstPrevious(uid) }
    const start = proof.chain === null ? [this.#start(segment, uid, begin)] : []
    // Where nobody knows the hash of what was lost, the chain goes on from what is left.
    const after = { next, previous: previous === null ? begin.previous : hashOf(previous) }
    const added = Buffer.concat([...start, ...this.#gap(segment.number, begin, after)])
    const kept = proof.chain === null ? 0 : proof.end
    await this.#replace(segment, { kept, added })
    this.#take(segment, after, kept + added.byteLength)
  }

  /** A head over what is there now. */
  async finish(uid: string): Promise<void> {
    const [oldest] = this.#segments
    const current = this.#segments.at(-1)
    if (oldest === undefined || current === undefined || this.#chain === null) return
    const { writer, place } = this.#log
    writer.show(this.#log.head, this.#segments)
    await writer.replaceHead({
      name: place.name,
      uid,
      writes: (this.#log.head?.writes ?? 0) + 1,
      sequence: this.#chain.next - 1,
      hash: hexOf(this.#chain.previous),
      segment: current.number,
      end: this.#end,
      first: { segment: oldest.number, sequence: oldest.first, previous: (await previousOf(this.#log, oldest)) ?? '' },
    })
  }

  /** An empty segment in the place of each that is gone; the one before them says what is lost. */
  async #fillHole(before: Segment, uid: string): Promise<void> {
    const last = this.#segments.at(-1)
    const chain = this.#chain
    if (last === undefined || chain === null) return
    for (let number = last.number + 1; number < before.number; number++) {
      const path = segmentPath(this.#log.place.dir, number, chain.next)
      const segment = { number, first: chain.next, path, bytes: 0 }
      const start = this.#start(segment, uid, chain)
      await writeNewFile(path, start)
      await syncFolder(this.#log.place.dir)
      this.#take(segment, chain, start.byteLength)
    }
  }

  #take(segment: Segment, chain: ChainPoint | null, end: number): void {
    this.#segments.push({ ...segment, bytes: end })
    this.#chain = chain
    this.#end = end
  }

  #gap(number: number, from: ChainPoint, after: ChainPoint): readonly Uint8Array[] {
    if (after.next <= from.next) return []
    const lost = { from: from.next, to: after.next - 1 }
    this.lost.push(lost)
    const statement = encodeStatement({ ...lost, previous: hexOf(after.previous) })
    return [this.#log.writer.frame('gap', number, statement)]
  }

  #start({ number, first }: Segment, uid: string, { previous }: ChainPoint): Uint8Array {
    const atMs = Math.max(0, Math.floor(this.#services.clock.nowMs()))
    const { name } = this.#log.place
    const statement = encodeStatement({ name, uid, segment: number, first, previous: hexOf(previous), atMs })
    return this.#log.writer.frame('start', number, statement)
  }

  #firstPrevious(uid: string): Uint8Array {
    const { head, place } = this.#log
    return head === null ? genesisHash(place.name, hashOf(uid)) : hashOf(head.first.previous)
  }

  /** The file as it was is set aside; one of its first `kept` bytes and `added` takes its name in one step. */
  async #replace(
    { path }: Segment,
    { kept, added }: { readonly kept: number; readonly added: Uint8Array },
  ): Promise<void> {
    const { dir } = this.#log.place
    const folder = join(dir, ASIDE_FOLDER)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await copyFile(path, join(folder, `${basename(path)}.${hexOf(this.#services.random.bytes(4))}`))
    await syncFolder(folder)
    const aside = join(dir, 'repair.tmp')
    await copyFile(path, aside)
    await changeTail(aside, { kept, added })
    await rename(aside, path)
    await syncFolder(dir)
    this.setAside += 1
  }
}

async function changeTail(
  path: string,
  { kept, added }: { readonly kept: number; readonly added: Uint8Array },
): Promise<void> {
  const handle = await open(path, 'r+')
  try {
    await handle.truncate(kept)
    await writeAll(handle, added, kept)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function startOf(log: Log, segment: Segment): Promise<SegmentStart | null> {
  try {
    for await (const step of walkSegment({ ...log.place, segment })) return step.type === 'start' ? step.start : null
  } catch (error) {
    if (!(error instanceof SegmentDamage)) throw error
    // The repair of this very segment deals with it.
  }
  return null
}

async function previousOf(log: Log, segment: Segment): Promise<string | null> {
  return (await startOf(log, segment))?.previous ?? null
}

async function uidOf(log: Log): Promise<string | null> {
  if (log.head !== null) return log.head.uid
  for (const segment of log.segments) {
    const start = await startOf(log, segment)
    if (start !== null) return start.uid
  }
  return null
}
