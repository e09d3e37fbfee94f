import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { networkErrors } from '../../modules/network/service.ts'
import { FIRST_DELAY_MS, Keeper, MAX_DELAY_MS } from '../../modules/network/keeper.ts'
import { Liveness, MAX_MISSED_PINGS, MAX_MORE_PINGS } from '../../modules/network/liveness.ts'
import { SimulatedClock, sleep } from '../../kernel/index.ts'
import type { OpenPath } from '../../modules/network/paths.ts'

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

function keeperAt({ isReachable }: { isReachable: boolean }) {
  const clock = new SimulatedClock()
  const state = { isReachable, dials: [] as number[], lost: Promise.withResolvers<void>() }
  const keeper = new Keeper({
    clock,
    log: silent,
    // The longest delay there can be.
    random: { bytes: (length) => new Uint8Array(length), unit: () => 1 },
    connect: async () => {
      state.dials.push(clock.monotonicMs())
      if (!state.isReachable) throw networkErrors.NZ_NETWORK_UNREACHABLE()
    },
    lost: async () => await state.lost.promise,
  })
  const lose = async (): Promise<void> => {
    state.lost.resolve()
    state.lost = Promise.withResolvers()
    await clock.advance(0)
  }
  return { clock, keeper, state, lose }
}

describe('keeping a connection', () => {
  it('dials after 1, 2, 4 … seconds, at most a minute apart', async () => {
    const { clock, keeper, state } = keeperAt({ isReachable: false })
    const kept = keeper.keep('laptop')
    await clock.advance(10 * 60_000)
    const gaps = state.dials.slice(1).map((at, index) => at - (state.dials[index] ?? 0))
    assert.deepEqual(gaps.slice(0, 7), [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000])
    assert.ok(gaps.every((gap) => gap <= MAX_DELAY_MS))
    kept.release()
    const { length } = state.dials
    await clock.advance(10 * 60_000)
    assert.equal(state.dials.length, length)
    assert.equal(clock.pendingTimers, 0)
  })

  it('starts over after a connection that lasted, and slows down for one that flaps', async () => {
    const { clock, keeper, state, lose } = keeperAt({ isReachable: true })
    keeper.keep('laptop')
    await clock.advance(60_000)
    assert.equal(state.dials.length, 1)
    await lose()
    await clock.advance(FIRST_DELAY_MS)
    assert.equal(state.dials.length, 2)
    for (const delayMs of [2_000, 4_000, 8_000]) {
      await lose()
      await clock.advance(delayMs - 1)
      const { length } = state.dials
      await clock.advance(1)
      assert.equal(state.dials.length, length + 1)
    }
    keeper.stop()
  })

  it('goes on until the last holder lets go, and stops at once when dropped', async () => {
    const { clock, keeper } = keeperAt({ isReachable: false })
    const [first, second] = [keeper.keep('laptop'), keeper.keep('laptop')]
    first.release()
    first.release()
    assert.equal(keeper.isKept('laptop'), true)
    second.release()
    assert.equal(keeper.isKept('laptop'), false)
    const old = keeper.keep('laptop')
    keeper.drop('laptop')
    keeper.keep('laptop')
    old.release()
    assert.equal(keeper.isKept('laptop'), true)
    keeper.stop()
    await clock.advance(0)
    assert.equal(clock.pendingTimers, 0)
  })
})

describe('liveness', () => {
  const INTERVAL_MS = 1_000

  /** Connections of which it is told how long each takes to answer, and whether anything else comes. */
  function watched(...peerIds: readonly string[]) {
    const clock = new SimulatedClock()
    const aborted = new Map<string, number>()
    const told: string[] = []
    const tell = (what: string) => (path: OpenPath) =>
      void told.push(`${path.connection.remotePeer.toString()} ${what}`)
    const state = new Map(peerIds.map((peerId) => [peerId, { answerMs: 0 as number | null, heard: 0, pings: 0 }]))
    const stateOf = (path: OpenPath) => state.get(path.connection.remotePeer.toString()) ?? assert.fail('who?')
    const paths = peerIds.map((peerId): OpenPath => ({
      // Only what liveness touches of a libp2p connection.
      connection: {
        remotePeer: { toString: () => peerId },
        abort: () => aborted.set(peerId, clock.monotonicMs()),
      } as unknown as OpenPath['connection'],
      openedAtMs: 0,
      streams: new Set(),
      txBytes: 0,
      rxBytes: 0,
      missedPings: 0,
      heardAtMiss: 0,
      slowestPingMs: null,
      isLimitNear: false,
      bytesAllowed: null,
      secondsAllowed: null,
    }))
    const liveness = new Liveness(
      {
        clock,
        log: silent,
        paths: () => paths.filter(({ connection }) => !aborted.has(connection.remotePeer.toString())),
        heard: (path) => stateOf(path).heard,
        onAnswered: tell('answered'),
        onMissed: tell('missed'),
        ping: async (path, { signal }) => {
          const one = stateOf(path)
          one.pings += 1
          await sleep(clock, one.answerMs ?? 3_600_000, { signal })
        },
      },
      { intervalMs: INTERVAL_MS, timeoutMs: 500 },
    )
    liveness.start()
    const of = (peerId: string) => state.get(peerId) ?? assert.fail(peerId)
    return { clock, aborted, liveness, of, told, paths }
  }

  it('ends a connection that leaves two pings in a row unanswered, and no other', async () => {
    const { clock, aborted, liveness, of } = watched('dead', 'flaky', 'well')
    await clock.advance(INTERVAL_MS)
    of('dead').answerMs = null
    for (let round = 0; round < 10; round += 1) {
      of('flaky').answerMs = round % 2 === 0 ? null : 0
      await clock.advance(INTERVAL_MS)
    }
    assert.deepEqual([...aborted.keys()], ['dead'])
    assert.ok((aborted.get('dead') ?? 0) <= INTERVAL_MS * (1 + MAX_MISSED_PINGS) + 500)
    liveness.stop()
    const before = of('well').pings
    await clock.advance(5 * INTERVAL_MS)
    assert.equal(of('well').pings, before)
  })

  it('tells what was answered and what was not, and pings at once when asked to', async () => {
    const { clock, liveness, of, told, paths } = watched('one')
    await clock.advance(INTERVAL_MS)
    of('one').answerMs = null
    liveness.probe(paths)
    await clock.advance(500)
    assert.deepEqual(told, ['one answered', 'one missed'])
    liveness.stop()
    liveness.probe(paths)
    assert.equal(of('one').pings, 2)
  })

  it('takes whatever comes for an answer', async () => {
    const { clock, aborted, of } = watched('busy')
    of('busy').answerMs = null
    for (let round = 0; round < 20; round += 1) {
      await clock.advance(INTERVAL_MS + 100)
      of('busy').heard += 1
    }
    assert.deepEqual([...aborted], [])
  })

  it('waits longer for a connection whose answers were slow, and not for ever', async () => {
    const { clock, aborted, of } = watched('slow', 'quick')
    of('slow').answerMs = 450
    await clock.advance(3 * INTERVAL_MS)
    const silentFromMs = clock.monotonicMs()
    for (const each of ['slow', 'quick']) of(each).answerMs = null
    await clock.advance(60 * INTERVAL_MS)
    const lasted = (peerId: string): number => ((aborted.get(peerId) ?? Infinity) - silentFromMs) / INTERVAL_MS
    assert.ok(lasted('quick') <= MAX_MISSED_PINGS + 1)
    assert.ok(lasted('slow') > 7 && lasted('slow') <= MAX_MISSED_PINGS + MAX_MORE_PINGS + 1)
  })

  it('gives one that has never answered a little longer, as nothing is known of it', async () => {
    const { clock, aborted, of } = watched('new')
    of('new').answerMs = null
    await clock.advance(10 * INTERVAL_MS)
    const endedMs = aborted.get('new') ?? Infinity
    assert.ok(endedMs > INTERVAL_MS * (MAX_MISSED_PINGS + 1) && endedMs < INTERVAL_MS * (MAX_MISSED_PINGS + 4))
  })
})
