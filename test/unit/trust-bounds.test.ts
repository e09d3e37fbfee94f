/** Limits of trust updates, logs, answers and searches, each at its bound (NZ-TRUST-01 §1 and §5). When they go is in trust-exchange. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { effectiveTrust } from '../../protocols/trust/effective.ts'
import { Interest } from '../../protocols/trust/interest.ts'
import { LatestTime, MAX_BACK_S } from '../../protocols/trust/latest-time.ts'
import {
  MAX_ISSUERS,
  MAX_PATH,
  MAX_PATHS_SHOWN,
  MAX_SECONDS,
  MAX_SEQUENCE,
  MAX_STATEMENTS_VISITED,
  MAX_UPDATES,
  MAX_UPDATES_PER_ISSUER,
  MAX_VOUCH_DEPTH,
  MAX_WAITING,
  MAX_WAITING_PER_ISSUER,
} from '../../protocols/trust/limits.ts'
import {
  decodeAnswer,
  decodeRequest,
  encodeAnswer,
  encodeRequest,
  MAX_EXTRAS,
  MAX_LOCATOR,
  MAX_PULLS,
  MAX_PUSHED,
  MAX_RANGES,
  RANGE_PARTS,
} from '../../protocols/trust/reconcile-messages.ts'
import { MAX_AGAIN, MAX_ROUNDS, Reconciliation } from '../../protocols/trust/reconciliation.ts'
import { TrustReplica } from '../../protocols/trust/replica.ts'
import { createUpdate, NO_PREVIOUS, readUpdate } from '../../protocols/trust/update.ts'
import { chainOf, keyNamed, trusting, unsignedUpdate } from '../fake/trust.ts'
import type { IssuerLog } from '../../protocols/trust/issuer-log.ts'
import type { ReconcileAnswer, ReconcileRequest } from '../../protocols/trust/reconcile-messages.ts'
import type { Receipt } from '../../protocols/trust/replica.ts'
import type { Statement, UpdateBody } from '../../protocols/trust/update.ts'

const [viewer, peer] = [keyNamed('viewer'), keyNamed('peer')]
const skip = process.env['NZ_FULL'] === '1' ? false : 'a million updates: NZ_FULL=1'
const times = <T>(count: number, make: (n: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n))

describe('an update', () => {
  const read = (changes: Partial<UpdateBody>): string | null => {
    const body = { issuer: keyNamed('i'), sequence: 2, previous: keyNamed('u'), issuedS: 1, ...changes }
    const statement = changes.statement ?? trusting(peer, 1)
    const answer = readUpdate(createUpdate({ ...body, statement }, () => new Uint8Array(64)).bytes, () => true)
    return typeof answer === 'string' ? answer : null
  }

  it('has numbers up to their bounds, and is none above them', () => {
    const atBound: readonly Partial<UpdateBody>[] = [
      { sequence: MAX_SEQUENCE },
      { issuedS: MAX_SECONDS },
      { statement: trusting(peer, 1, { expiresS: MAX_SECONDS }) },
      { statement: trusting(peer, 1, { vouchDepth: MAX_VOUCH_DEPTH }) },
      { statement: { kind: 'revoke', subject: peer, reason: 255 } },
    ]
    for (const changes of atBound) assert.equal(read(changes), null, JSON.stringify(changes))
    const over: readonly Partial<UpdateBody>[] = [
      { sequence: MAX_SEQUENCE + 1 },
      { issuedS: MAX_SECONDS + 1 },
      { statement: trusting(peer, 1, { expiresS: MAX_SECONDS + 1 }) },
      { statement: trusting(peer, 1, { vouchDepth: MAX_VOUCH_DEPTH + 1 }) },
      { statement: { kind: 'revoke', subject: peer, reason: 256 } },
    ]
    for (const changes of over) assert.equal(read(changes), 'NZ_TRUST_MALFORMED', JSON.stringify(changes))
  })
})

describe('a message of a reconciliation', () => {
  const [print, id] = ['00'.repeat(16), keyNamed('id')]
  const pull = { issuer: keyNamed('i'), locator: [], extras: [] }
  const ids = (count: number): string[] => times(count, () => id)
  const isRequest = (request: ReconcileRequest): boolean => decodeRequest(encodeRequest(request)) !== null
  const isAnswer = (answer: ReconcileAnswer): boolean => decodeAnswer(encodeAnswer(answer)) !== null
  const bytes = new Uint8Array(1)
  const pulled = { common: 0, held: [], updates: [], hasMore: false }
  const part = { to: '', print }
  const state = { issuer: id, length: 1, print }
  const bounded: readonly (readonly [string, number, (count: number) => boolean])[] = [
    [
      'ranges',
      MAX_RANGES,
      (n) => isRequest({ kind: 'compare', ranges: times(n, () => ({ from: '', to: '', print })) }),
    ],
    ['pulls', MAX_PULLS, (n) => isRequest({ kind: 'pull', pulls: times(n, () => pull) })],
    [
      'ids in a locator',
      MAX_LOCATOR,
      (n) => isRequest({ kind: 'pull', pulls: [{ ...pull, locator: times(n, () => ({ sequence: 1, id })) }] }),
    ],
    ['extras', MAX_EXTRAS, (n) => isRequest({ kind: 'pull', pulls: [{ ...pull, extras: ids(n) }] })],
    ['pushed updates', MAX_PUSHED, (n) => isRequest({ kind: 'push', updates: times(n, () => bytes) })],
    ['ranges answered', MAX_RANGES, (n) => isAnswer({ kind: 'compared', ranges: times(n, () => ({ kind: 'same' })) })],
    [
      'parts',
      RANGE_PARTS,
      (n) => isAnswer({ kind: 'compared', ranges: [{ kind: 'parts', parts: times(n, () => part) }] }),
    ],
    [
      'issuers listed',
      RANGE_PARTS,
      (n) => isAnswer({ kind: 'compared', ranges: [{ kind: 'issuers', issuers: times(n, () => state) }] }),
    ],
    ['pulls answered', MAX_PULLS, (n) => isAnswer({ kind: 'pulled', answers: times(n, () => pulled) })],
    ['extras held', MAX_EXTRAS, (n) => isAnswer({ kind: 'pulled', answers: [{ ...pulled, held: ids(n) }] })],
    [
      'updates pulled',
      MAX_PUSHED,
      (n) => isAnswer({ kind: 'pulled', answers: [{ ...pulled, updates: times(n, () => bytes) }] }),
    ],
    ['codes', MAX_PUSHED, (n) => isAnswer({ kind: 'pushed', codes: times(n, () => 0) })],
  ]
  for (const [what, bound, isTaken] of bounded)
    it(`has so many ${what}, and is none with one more`, () => {
      assert.deepEqual([isTaken(bound), isTaken(bound + 1)], [true, false])
    })
})

describe('a reconciliation', () => {
  const issuer = keyNamed('issuer')
  const nothing: Receipt = { applied: 'known', added: [], removed: [], code: null, update: null }

  /** What it asks of somebody who answers every pull with one update and `hasMore`. */
  function asked(receipt: (at: number) => Receipt, hasMore: boolean): readonly string[] {
    let taken = 0
    const replica = new TrustReplica({ verify: () => true, isOfInterest: () => true })
    const reconciliation = new Reconciliation({
      replica,
      receive: () => receipt(taken++),
      isOfInterest: () => true,
      isRefused: () => false,
    })
    const kinds: string[] = []
    for (let request = reconciliation.next(); request !== null; request = reconciliation.next()) {
      kinds.push(request.kind)
      const answer: ReconcileAnswer =
        request.kind === 'compare'
          ? {
              kind: 'compared',
              ranges: [{ kind: 'issuers', issuers: [{ issuer, length: 9, print: '11'.repeat(16) }] }],
            }
          : { kind: 'pulled', answers: [{ common: 0, held: [], updates: [new Uint8Array(1)], hasMore }] }
      assert.ok(reconciliation.accept(answer))
    }
    return kinds
  }

  it('is over after so many requests, whatever the other side still promises', () => {
    const update = unsignedUpdate(issuer, 1, NO_PREVIOUS, trusting(peer, 1))
    const kinds = asked(() => ({ ...nothing, added: [update] }), true)
    assert.equal(kinds.length, MAX_ROUNDS)
  })

  it('compares all again so often for a fork, however often one is claimed', () => {
    const kinds = asked(() => ({ ...nothing, code: 'NZ_TRUST_FORKED' }), false)
    assert.equal(kinds.filter((kind) => kind === 'compare').length, 1 + MAX_AGAIN)
  })
})

describe('a replica keeps', () => {
  const open = { verify: () => true, isOfInterest: () => true }

  it('so many updates that wait, of all issuers together', () => {
    const replica = new TrustReplica(open)
    const early = (name: string): readonly Uint8Array[] =>
      chainOf(keyNamed(name), MAX_WAITING_PER_ISSUER + 1, () => trusting(peer, 1))
        .slice(1)
        .map(({ bytes }) => bytes)
    for (let n = 0; n < MAX_WAITING / MAX_WAITING_PER_ISSUER; n++)
      for (const bytes of early(`i${n}`)) assert.equal(replica.receive(bytes, 0).code, 'NZ_TRUST_GAP')
    const [one] = early('one too many')
    assert.equal(replica.receive(one ?? assert.fail(), 0).code, 'NZ_TRUST_FULL')
  })

  it('so many issuers', { skip }, () => {
    const replica = new TrustReplica(open)
    const said = (n: number): Uint8Array => unsignedUpdate(keyNamed(`i${n}`), 1, NO_PREVIOUS, trusting(peer, 1)).bytes
    for (let n = 0; n < MAX_ISSUERS; n++) assert.equal(replica.receive(said(n), 0).code, null)
    assert.equal(replica.receive(said(MAX_ISSUERS), 0).code, 'NZ_TRUST_FULL')
    assert.equal(replica.issuers.length, MAX_ISSUERS)
  })

  it('so many updates', { skip }, () => {
    const replica = new TrustReplica(open)
    for (let n = 0; n < MAX_UPDATES / MAX_UPDATES_PER_ISSUER; n++) {
      let previous = NO_PREVIOUS
      for (let sequence = 1; sequence <= MAX_UPDATES_PER_ISSUER; sequence++) {
        const update = unsignedUpdate(keyNamed(`i${n}`), sequence, previous, trusting(peer, 1))
        previous = update.id
        assert.equal(replica.restore(update.bytes)?.applied, 'taken')
      }
    }
    const over = unsignedUpdate(keyNamed('other'), 1, NO_PREVIOUS, trusting(peer, 1))
    assert.equal(replica.receive(over.bytes, 0).code, 'NZ_TRUST_FULL')
    assert.equal(replica.size, MAX_UPDATES)
  })
})

describe('effective trust', () => {
  function replicaOf(said: readonly (readonly [string, Statement])[]): TrustReplica {
    const replica = new TrustReplica({ verify: () => true, isOfInterest: () => true })
    for (const [issuer, statement] of said) {
      const chain = replica.log(keyNamed(issuer))?.chain ?? []
      const previous = chain.at(-1)?.id ?? NO_PREVIOUS
      replica.restore(unsignedUpdate(keyNamed(issuer), chain.length + 1, previous, statement).bytes)
    }
    return replica
  }

  it('follows paths of so many statements, and none of one more', () => {
    const names = ['viewer', ...times(MAX_PATH + 1, (n) => `p${n + 1}`)]
    const replica = replicaOf(
      names.slice(1).map((name, at) => [names[at] ?? '', trusting(keyNamed(name), 4, { vouchDepth: MAX_VOUCH_DEPTH })]),
    )
    const because = (name: string): string => effectiveTrust(replica, viewer, keyNamed(name), 1).because
    assert.deepEqual([because(`p${MAX_PATH}`), because(`p${MAX_PATH + 1}`)], ['path', 'none'])
  })

  it('shows so many paths', () => {
    const introducers = times(MAX_PATHS_SHOWN + 1, (n) => `i${n}`)
    const replica = replicaOf(
      introducers.flatMap((name) => [
        ['viewer', trusting(keyNamed(name), 3, { vouchDepth: 1 })] as const,
        [name, trusting(peer, 3)] as const,
      ]),
    )
    assert.equal(effectiveTrust(replica, viewer, peer, 1).paths.length, MAX_PATHS_SHOWN)
  })

  /** A viewer that trusts so many, none of whom vouches. */
  function crowd(count: number): { log(issuer: string): IssuerLog | undefined } {
    const subjects = new Set(times(count, (n) => `subject ${n}`))
    const trustIn = (subject: string) => (subjects.has(subject) ? trusting(subject, 1) : undefined)
    const log = { subjects, trustIn, revocationOf: () => undefined, isForked: false }
    return { log: (issuer) => (issuer === viewer ? (log as unknown as IssuerLog) : undefined) }
  }

  it('looks at so many statements, and says when there were more', () => {
    // Paths of two, three and four statements: each looks at the viewer’s own.
    const most = Math.floor(MAX_STATEMENTS_VISITED / (MAX_PATH - 1))
    assert.equal(effectiveTrust(crowd(most), viewer, peer, 1).isCut, false)
    assert.equal(effectiveTrust(crowd(most + 1), viewer, peer, 1).isCut, true)
  })

  it('makes nobody beyond so many statements be followed', () => {
    const view = crowd(MAX_STATEMENTS_VISITED + 1)
    const interest = new Interest({ view, viewer, nowS: () => 0 })
    const isFollowed = (n: number): boolean => interest.has(`subject ${n}`)
    assert.deepEqual([isFollowed(MAX_STATEMENTS_VISITED - 1), isFollowed(MAX_STATEMENTS_VISITED)], [true, false])
  })
})

describe('the latest time', () => {
  it('stays when the clock is set back so far, and is believed when it is set back further', () => {
    const nowS = 1_700_000_000
    assert.equal(new LatestTime(nowS).at(nowS - MAX_BACK_S), nowS)
    assert.equal(new LatestTime(nowS).at(nowS - MAX_BACK_S - 1), nowS - MAX_BACK_S - 1)
  })
})
