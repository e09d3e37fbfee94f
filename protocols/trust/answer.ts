/** The answering side of a reconciliation: keeps nothing between requests (NZ-TRUST-01 §5). */
import { trustCodes } from './errors.ts'
import { MAX_MESSAGE_BYTES, MAX_PUSHED, RANGE_PARTS } from './reconcile-messages.ts'
import { keyOf } from './update.ts'
import type { IssuerLog } from './issuer-log.ts'
import type { Pull, PullAnswer, Range, RangeAnswer, ReconcileAnswer, ReconcileRequest } from './reconcile-messages.ts'
import type { Receipt, TrustReplica } from './replica.ts'
import type { Key, TrustUpdate } from './update.ts'

/** Room that an update takes beside its bytes, and an answer to one pull beside its lists. */
const ITEM_OVERHEAD_BYTES = 3
const PULL_OVERHEAD_BYTES = 24
const ID_ITEM_BYTES = 34

/** `receive` takes an update that was pushed. */
export function answerReconcile(
  replica: TrustReplica,
  request: ReconcileRequest,
  receive: (bytes: Uint8Array) => Receipt,
): ReconcileAnswer {
  switch (request.kind) {
    case 'compare':
      return { kind: 'compared', ranges: request.ranges.map((range) => compare(replica, range)) }
    case 'pull':
      return { kind: 'pulled', answers: pulled(replica, request.pulls) }
    case 'push':
      return { kind: 'pushed', codes: request.updates.map((bytes) => trustCodes.indexOf(receive(bytes).code)) }
  }
}

function compare(replica: TrustReplica, { from, to, print }: Range): RangeAnswer {
  const first = replica.placeOf(from)
  const end = to === '' ? replica.issuers.length : replica.placeOf(to)
  if (keyOf(replica.print(first, end)) === print) return { kind: 'same' }
  if (end - first <= RANGE_PARTS) {
    return { kind: 'issuers', issuers: replica.issuers.slice(first, end).map((issuer) => stateOf(replica, issuer)) }
  }
  const parts = Array.from({ length: RANGE_PARTS }, (_, at) => {
    const [partFirst, partEnd] = [at, at + 1].map((edge) => first + Math.floor(((end - first) * edge) / RANGE_PARTS))
    return {
      to: at === RANGE_PARTS - 1 ? to : boundBefore(replica, partEnd ?? end),
      print: keyOf(replica.print(partFirst ?? first, partEnd ?? end)),
    }
  })
  return { kind: 'parts', parts }
}

function stateOf(replica: TrustReplica, issuer: Key): { issuer: Key; length: number; print: string } {
  const log = replica.log(issuer)
  return { issuer, length: log?.chain.length ?? 0, print: (log?.state ?? '').slice(0, 32) }
}

/** The shortest prefix of the issuer at `place` that is above the issuer before it, in whole bytes. */
function boundBefore(replica: TrustReplica, place: number): string {
  const [before, after] = [replica.issuers[place - 1] ?? '', replica.issuers[place] ?? '']
  let length = 2
  while (after.slice(0, length) === before.slice(0, length)) length += 2
  return after.slice(0, length)
}

function pulled(replica: TrustReplica, pulls: readonly Pull[]): readonly PullAnswer[] {
  const answers: PullAnswer[] = []
  let room = MAX_MESSAGE_BYTES - PULL_OVERHEAD_BYTES
  for (const pull of pulls) {
    room -= PULL_OVERHEAD_BYTES + pull.extras.length * ID_ITEM_BYTES
    // The first is answered in any case: its extras alone fit.
    if (room <= 0 && answers.length > 0) break
    const answer = pulledOne(replica.log(pull.issuer), pull, room)
    room -= bytesIn(answer.updates)
    answers.push(answer)
    if (answer.hasMore) break
  }
  return answers
}

function pulledOne(log: IssuerLog | undefined, { locator, extras }: Pull, room: number): PullAnswer {
  const common = locator.find(({ sequence, id }) => log?.chain[sequence - 1]?.id === id)?.sequence ?? 0
  if (log === undefined) return { common, held: [], updates: [], hasMore: false }
  const named = new Set(extras)
  const kept = keptBy(log, named)
  const updates: Uint8Array[] = []
  for (const { bytes } of offered(log, common, named)) {
    room -= bytes.length + ITEM_OVERHEAD_BYTES
    if (room < 0 || updates.length >= MAX_PUSHED) return { common, held: kept, updates, hasMore: true }
    updates.push(bytes)
  }
  return { common, held: kept, updates, hasMore: false }
}

function* offered(log: IssuerLog, common: number, named: ReadonlySet<Key>): Iterable<TrustUpdate> {
  for (let at = common; at < log.chain.length; at++) {
    const update = log.chain[at]
    if (update !== undefined) yield update
  }
  for (const update of log.loose()) if (!named.has(update.id)) yield update
}

/** Those of `named` that the log keeps anywhere. */
function keptBy(log: IssuerLog, named: ReadonlySet<Key>): readonly Key[] {
  if (named.size === 0) return []
  const ids = new Set([...log.chain, ...log.loose()].map(({ id }) => id))
  return [...named].filter((id) => ids.has(id))
}

function bytesIn(updates: readonly Uint8Array[]): number {
  return updates.reduce((sum, { length }) => sum + length + ITEM_OVERHEAD_BYTES, 0)
}
