/** When trust updates go to which peer, in time that only the tests move (NZ-TRUST-01 §5): and every bound at it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { seededRandom, SimulatedClock } from '../../kernel/index.ts'
import {
  MAX_IN_PUSH,
  MAX_RECONCILING,
  MAX_REFUSED_BY_PEER,
  MAX_REQUESTS,
  MAX_TO_PUSH,
  PUSH_BURST,
  PUSH_EVERY_MS,
  RECONCILE_EVERY_MS,
  RECONCILE_SOON_MS,
  TrustExchange,
  TURN_MS,
} from '../../protocols/trust/exchange.ts'
import { trustCodes } from '../../protocols/trust/errors.ts'
import { decodeRequest, encodeAnswer, encodeRequest } from '../../protocols/trust/reconcile-messages.ts'
import { Standpoint } from '../../protocols/trust/standpoint.ts'
import { chainOf, keyNamed, trusting, unsignedUpdate } from '../fake/trust.ts'
import type { Asking } from '../../protocols/trust/exchange.ts'
import type { Statement, TrustUpdate } from '../../protocols/trust/update.ts'

class Node {
  readonly name: string
  readonly standpoint: Standpoint
  readonly exchange: TrustExchange
  mayReplicate = true

  constructor(name: string, clock: SimulatedClock) {
    this.name = name
    const nowS = (): number => Math.floor(clock.nowMs() / 1_000)
    this.standpoint = new Standpoint({ self: keyNamed(name), verify: () => true, nowS })
    const may = (): boolean => this.mayReplicate
    this.exchange = new TrustExchange({ standpoint: this.standpoint, clock, random: seededRandom(7), may })
  }

  /** States and announces it, as the module does once it is durable. */
  say(statement: Statement): TrustUpdate {
    const update = this.standpoint.compose(statement, () => new Uint8Array(64))
    this.standpoint.restore(update.bytes)
    this.exchange.announce(update, null)
    return update
  }

  /** What it asks now, by what it is. */
  asks(): readonly (Asking & { readonly request: ReturnType<typeof decodeRequest> })[] {
    return this.exchange.poll().map((asking) => ({ ...asking, request: decodeRequest(asking.payload) }))
  }
}

/** Two that follow each other and are equal, some seconds after they met. */
async function pair() {
  const clock = new SimulatedClock()
  const [ann, bob] = [new Node('ann', clock), new Node('bob', clock)]
  ann.say(trusting(keyNamed('bob'), 2, { vouchDepth: 1 }))
  bob.say(trusting(keyNamed('ann'), 2, { vouchDepth: 1 }))
  // Whom it speaks of for the first time it asks peers about: that is not what is tried here.
  for (const subject of ['cid', 'dan']) ann.say(trusting(keyNamed(subject), 1))
  ann.exchange.connected('bob')
  bob.exchange.connected('ann')
  await clock.advance(RECONCILE_SOON_MS)
  carryAll([ann, bob])
  assert.equal(ann.standpoint.replica.root(), bob.standpoint.replica.root())
  await clock.advance(PUSH_BURST * PUSH_EVERY_MS)
  carryAll([ann, bob])
  return { clock, ann, bob, carry: () => carryAll([ann, bob]) }
}

/** Carries without delay what the nodes ask, until none asks. @returns codes of requests that were refused */
function carryAll(nodes: readonly Node[]): readonly string[] {
  const refused: string[] = []
  for (let isQuiet = false; !isQuiet;) {
    isQuiet = true
    for (const from of nodes) {
      for (const { id, peer, payload } of from.exchange.poll()) {
        isQuiet = false
        const to = nodes.find(({ name }) => name === peer) ?? assert.fail()
        const answered = to.exchange.answer(from.name, payload)
        if (answered.code !== null) {
          refused.push(answered.code)
          from.exchange.failed(id)
          continue
        }
        to.exchange.taken(answered.receipts, from.name)
        from.exchange.answered(id, answered.payload)
        from.exchange.proceed(id)
      }
    }
  }
  return refused
}

/** Carries one request and its answer. */
function finish({ id, payload }: Asking, from: Node, to: Node): void {
  const answered = to.exchange.answer(from.name, payload)
  assert.ok(answered.code === null)
  from.exchange.answered(id, answered.payload)
  from.exchange.proceed(id)
}

const saysOf = (node: Node, subject: string) => node.standpoint.replica.log(keyNamed('ann'))?.trustIn(keyNamed(subject))

describe('an update that a node states', () => {
  it('is asked to be taken, and counts at the peer, in the moment it is announced: no timer lies in between', async () => {
    const { clock, ann, bob } = await pair()
    const saidMs = clock.monotonicMs()
    const update = ann.say(trusting(keyNamed('cid'), 3))
    const [asking, ...others] = ann.asks()
    assert.deepEqual(others, [])
    assert.deepEqual(asking?.request, { kind: 'push', updates: [Uint8Array.from(update.bytes)] })
    const answered = bob.exchange.answer('ann', asking?.payload ?? assert.fail())
    assert.equal(answered.code, null)
    assert.equal(saysOf(bob, 'cid')?.level, 3)
    assert.equal(bob.standpoint.effective(keyNamed('cid')).because, 'path')
    assert.equal(clock.monotonicMs(), saidMs)
  })

  it('goes with the next push while one is under way, as soon as that is answered', async () => {
    const { ann, bob, carry } = await pair()
    ann.say(trusting(keyNamed('cid'), 3))
    const first = ann.asks()[0] ?? assert.fail()
    for (const level of [2, 3, 4] as const) ann.say(trusting(keyNamed('dan'), level))
    assert.deepEqual(ann.asks(), [])
    finish(first, ann, bob)
    carry()
    assert.equal(ann.standpoint.replica.root(), bob.standpoint.replica.root())
  })

  it('is at the peer within half a second however many are stated, and none of them is too many for it', async () => {
    const { clock, ann, bob, carry } = await pair()
    const saidMs: number[] = []
    const known = bob.standpoint.replica.log(keyNamed('ann'))?.chain.length ?? 0
    let [slowestMs, arrived] = [0, 0]
    for (let tick = 0; tick < 2_000; tick++) {
      if (tick < 1_200) {
        ann.say(trusting(keyNamed(tick % 2 === 0 ? 'cid' : 'dan'), 3))
        saidMs.push(clock.monotonicMs())
      }
      assert.deepEqual(carry(), [])
      const length = (bob.standpoint.replica.log(keyNamed('ann'))?.chain.length ?? 0) - known
      for (; arrived < length; arrived++)
        slowestMs = Math.max(slowestMs, clock.monotonicMs() - (saidMs[arrived] ?? Infinity))
      await clock.advance(10)
    }
    assert.equal(arrived, 1_200)
    assert.ok(slowestMs <= PUSH_EVERY_MS, `${slowestMs} ms`)
  })

  it('goes on from the peer to those whom it has not come from, in the same moment', async () => {
    const { clock, ann, bob } = await pair()
    const cid = new Node('cid', clock)
    cid.say(trusting(keyNamed('bob'), 2, { vouchDepth: 2 }))
    bob.say(trusting(keyNamed('cid'), 2, { vouchDepth: 1 }))
    for (const [one, other] of [
      [cid, bob],
      [bob, cid],
    ] as const)
      one.exchange.connected(other.name)
    await clock.advance(RECONCILE_SOON_MS)
    carryAll([ann, bob, cid])
    ann.say(trusting(keyNamed('dan'), 3))
    carryAll([ann, bob, cid])
    assert.equal(saysOf(cid, 'dan')?.level, 3)
  })

  it('reaches a peer that could not replicate when it was stated, within a second of the word that lets it', async () => {
    const { clock, ann, bob, carry } = await pair()
    ann.mayReplicate = false
    const other = unsignedUpdate(keyNamed('bob'), 2, headOf(bob, 'bob'), trusting(keyNamed('x'), 1))
    ann.standpoint.receive(other.bytes)
    ann.exchange.announce(other, 'cid')
    assert.deepEqual(ann.asks(), [])
    ann.mayReplicate = true
    ann.say(trusting(keyNamed('y'), 1))
    await clock.advance(RECONCILE_SOON_MS)
    carry()
    assert.equal(bob.standpoint.replica.root(), ann.standpoint.replica.root())
  })
})

const headOf = (node: Node, issuer: string): string =>
  node.standpoint.replica.log(keyNamed(issuer))?.chain.at(-1)?.id ?? assert.fail()

describe('an update that a node could not keep at once', () => {
  it('reaches a peer that follows it from now on, though it did not when it was pushed the last one', async () => {
    const clock = new SimulatedClock()
    const [ann, bob] = [new Node('ann', clock), new Node('bob', clock)]
    const settle = async (): Promise<void> => {
      carryAll([ann, bob])
      await clock.advance(RECONCILE_SOON_MS)
      carryAll([ann, bob])
    }
    ann.exchange.connected('bob')
    bob.exchange.connected('ann')
    await settle()
    ann.say(trusting(keyNamed('bob'), 2))
    await settle()
    assert.equal(bob.standpoint.replica.log(keyNamed('ann')), undefined)
    bob.say(trusting(keyNamed('ann'), 2, { vouchDepth: 1 }))
    await settle()
    const update = ann.say(trusting(keyNamed('cid'), 1))
    carryAll([ann, bob])
    assert.equal(bob.standpoint.replica.log(keyNamed('ann'))?.chain.at(-1)?.id, update.id)
  })

  it('reaches its other peers as soon as it is durable, however quiet it is then', async () => {
    const { clock, ann, bob } = await pair()
    const cid = new Node('cid', clock)
    cid.say(trusting(keyNamed('ann'), 2, { vouchDepth: 1 }))
    cid.say(trusting(keyNamed('bob'), 2, { vouchDepth: 1 }))
    bob.exchange.connected('cid')
    cid.exchange.connected('bob')
    // Who has new subjects asks again within a second, once for each that it hears of.
    for (let round = 0; round < 4; round++) {
      await clock.advance(RECONCILE_SOON_MS)
      carryAll([ann, bob, cid])
    }
    assert.equal(saysOf(cid, 'dan')?.level, 1)
    ann.say(trusting(keyNamed('dan'), 3))
    const [push] = ann.asks()
    assert.equal(push?.request?.kind, 'push')
    const answered = bob.exchange.answer('ann', push.payload)
    assert.ok(answered.code === null && answered.receipts.some(({ added }) => added.length > 0))
    // The disk refuses: ann is told so, and cid nothing.
    bob.exchange.notKept(answered.receipts)
    ann.exchange.failed(push.id)
    carryAll([ann, bob, cid])
    assert.equal(saysOf(cid, 'dan')?.level, 1)
    // Ann compares, which brings nothing new; what bob writes then has what was refused before it.
    await clock.advance(2 * RECONCILE_SOON_MS)
    carryAll([ann, bob, cid])
    await clock.advance(RECONCILE_SOON_MS)
    carryAll([ann, bob, cid])
    assert.equal(saysOf(cid, 'dan')?.level, 3)
  })
})

describe('trust replication is bounded:', () => {
  it('so many updates in a push, so many that wait; what is beyond comes by a reconciliation within a second', async () => {
    const { clock, ann, bob, carry } = await pair()
    const say = (): unknown => ann.say(trusting(keyNamed('cid'), 1))
    say()
    const first = ann.asks()[0] ?? assert.fail()
    for (let n = 0; n < MAX_TO_PUSH; n++) say()
    assert.ok(ann.exchange.wakeAtMs > clock.monotonicMs() + RECONCILE_SOON_MS)
    say()
    assert.ok(ann.exchange.wakeAtMs <= clock.monotonicMs() + RECONCILE_SOON_MS)
    finish(first, ann, bob)
    const [second] = ann.asks()
    assert.equal(second?.request?.kind === 'push' && second.request.updates.length, MAX_IN_PUSH)
    ann.exchange.failed(second?.id ?? assert.fail())
    await clock.advance(2 * RECONCILE_SOON_MS)
    carry()
    assert.equal(ann.standpoint.replica.root(), bob.standpoint.replica.root())
  })

  it('so many pushes to a peer at once', async () => {
    const { clock, ann, carry } = await pair()
    for (let n = 0; n < PUSH_BURST; n++) {
      ann.say(trusting(keyNamed('cid'), 1))
      const [asking] = ann.asks()
      assert.equal(asking?.request?.kind, 'push', `push ${n}`)
      ann.exchange.answered(asking.id, encodeAnswer({ kind: 'pushed', codes: [0] }))
      ann.exchange.proceed(asking.id)
    }
    ann.say(trusting(keyNamed('dan'), 1))
    assert.deepEqual(ann.asks(), [])
    assert.ok(ann.exchange.wakeAtMs <= clock.monotonicMs() + PUSH_EVERY_MS)
    await clock.advance(PUSH_EVERY_MS)
    assert.equal(ann.asks()[0]?.request?.kind, 'push')
    carry()
  })

  it('so many reconciliations that a node asks for; who does not answer gives up its turn', async () => {
    const clock = new SimulatedClock()
    const ann = new Node('ann', clock)
    for (let n = 0; n <= MAX_RECONCILING; n++) ann.exchange.connected(`peer ${n}`)
    await clock.advance(RECONCILE_SOON_MS)
    const asked = ann.asks()
    assert.equal(asked.length, MAX_RECONCILING)
    assert.deepEqual(ann.asks(), [])
    await clock.advance(TURN_MS - 1)
    assert.deepEqual(ann.asks(), [])
    await clock.advance(1)
    assert.equal(ann.exchange.wakeAtMs <= clock.monotonicMs(), true)
    const late = ann.asks()
    assert.equal(late.length, 1)
    assert.equal(
      asked.some(({ peer }) => peer === late[0]?.peer),
      false,
    )
  })

  it('so many requests of a peer in ten seconds', async () => {
    const { clock, ann } = await pair()
    await clock.advance(10_000)
    const payload = encodeRequest({ kind: 'push', updates: [new Uint8Array(1)] })
    for (let n = 0; n < MAX_REQUESTS; n++) assert.equal(ann.exchange.answer('bob', payload).code, null)
    assert.equal(ann.exchange.answer('bob', payload).code, 'NZ_TRUST_BUSY')
    assert.equal(ann.exchange.answer('cid', payload).code, null, 'each peer has its own')
    await clock.advance(10_000)
    assert.equal(ann.exchange.answer('bob', payload).code, null)
  })

  it('so many issuers in mind that a peer does not follow', async () => {
    const { clock, ann } = await pair()
    const strangers = Array.from({ length: MAX_REFUSED_BY_PEER + 1 }, (_, n) => keyNamed(`stranger ${n}`))
    const updates = strangers.map((issuer) => chainOf(issuer, 1, () => trusting(keyNamed('s'), 1))[0] ?? assert.fail())
    const notInterested = trustCodes.indexOf('NZ_TRUST_NOT_INTERESTED')
    const announceAll = async (): Promise<number> => {
      let pushed = 0
      for (const update of updates) {
        ann.exchange.announce(update, null)
        for (const { id, request } of ann.asks()) {
          if (request?.kind !== 'push') continue
          pushed += request.updates.length
          ann.exchange.answered(id, encodeAnswer({ kind: 'pushed', codes: request.updates.map(() => notInterested) }))
          ann.exchange.proceed(id)
        }
        await clock.advance(PUSH_EVERY_MS)
      }
      return pushed
    }
    assert.equal(await announceAll(), MAX_REFUSED_BY_PEER + 1)
    assert.equal(await announceAll(), 1)
  })

  it('so many seconds between two reconciliations with a peer that stays', async () => {
    const { clock, ann } = await pair()
    await clock.advance(RECONCILE_EVERY_MS - (PUSH_BURST + 1) * PUSH_EVERY_MS - 2 * RECONCILE_SOON_MS)
    assert.deepEqual(ann.asks(), [])
    await clock.advance(RECONCILE_EVERY_MS / 4 + (PUSH_BURST + 1) * PUSH_EVERY_MS + 2 * RECONCILE_SOON_MS)
    assert.equal(ann.asks()[0]?.request?.kind, 'compare')
  })
})
