import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { networkErrors } from '../../modules/network/service.ts'
import { FIRST_DELAY_MS, Keeper, MAX_DELAY_MS } from '../../modules/network/keeper.ts'
import { Liveness, MAX_MISSED_PINGS } from '../../modules/network/liveness.ts'
import { SimulatedClock } from '../../kernel/index.ts'
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
  it('ends a connection that leaves two pings in a row unanswered, and no other', async () => {
    const clock = new SimulatedClock()
    const aborted: string[] = []
    const pathOf = (peerId: string): OpenPath => ({
      // Only what liveness touches of a libp2p connection.
      connection: {
        remotePeer: { toString: () => peerId },
        abort: () => aborted.push(peerId),
      } as unknown as OpenPath['connection'],
      openedAtMs: 0,
      streams: new Set(),
      txBytes: 0,
      rxBytes: 0,
      missedPings: 0,
      isLimitNear: false,
      bytesAllowed: null,
      secondsAllowed: null,
    })
    const [dead, flaky, well] = [pathOf('dead'), pathOf('flaky'), pathOf('well')]
    let round = 0
    const liveness = new Liveness(
      {
        clock,
        log: silent,
        paths: () => {
          round += 1
          return [dead, flaky, well]
        },
        ping: async (path) => {
          if (path === dead || (path === flaky && round % 2 === 1)) throw new Error('no answer')
        },
      },
      { intervalMs: 1_000, timeoutMs: 500 },
    )
    liveness.start()
    await clock.advance(MAX_MISSED_PINGS * 1_000)
    assert.deepEqual(aborted, ['dead'])
    await clock.advance(5_000)
    assert.ok(!aborted.includes('flaky') && !aborted.includes('well'))
    liveness.stop()
    const before = round
    await clock.advance(5_000)
    assert.equal(round, before)
  })
})
