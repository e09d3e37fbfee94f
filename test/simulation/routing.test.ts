/** Routing in the simulator: no loop at any instant, nothing taken twice, everybody reached after healing; planted bugs. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CounterWindow } from '../../protocols/routing/counter-window.ts'
import { Router } from '../../protocols/routing/router.ts'
import { SourceSequences } from '../../protocols/routing/source-sequences.ts'
import { caughtBy, isFull, runSeeds } from './scenarios.ts'
import type { Effect, Opening, RouterInit } from '../../protocols/routing/router.ts'
import type { Key } from '../../protocols/routing/signing.ts'

/** Lets a path be as long as it likes. */
class TirelessRouter extends Router {
  override openFlow(destination: Key, nowMs: number): Opening & { readonly effects: readonly Effect[] } {
    return super.openFlow(destination, nowMs)
  }
}

/** Sends along whatever route was announced with the smallest metric, whether it may be taken or not. */
class GreedyRouter extends Router {
  #nowMs = 0

  override tick(nowMs: number): readonly Effect[] {
    this.#nowMs = nowMs
    return super.tick(nowMs)
  }

  override nextHop(destination: Key): Key | null {
    const known = this.routes(this.#nowMs).find((view) => view.destination === destination)
    return known?.routes.toSorted((a, b) => a.metric - b.metric)[0]?.nextHop ?? null
  }
}

/** Believes that everybody has signed everything. */
class BelievingRouter extends Router {
  constructor(init: RouterInit) {
    super({ ...init, verify: () => true })
  }
}

/** Enough for loops and long ways. */
const PLANTED_NODES = 24

describe('routing in the simulator', () => {
  it('forms no loop, takes nothing twice, keeps to the TTL and reaches everybody after healing', (test) => {
    const verdicts = runSeeds('routes', { first: 1, count: isFull ? 1_000 : 2 })
    const reachedMs = verdicts.map(({ convergedAfterMs }) => convergedAfterMs ?? Infinity).toSorted((a, b) => a - b)
    test.diagnostic(`${verdicts.length} seeds; all reached after at most ${reachedMs.at(-1)} ms`)
    for (const { counts } of verdicts)
      for (const what of ['refused NZ_ROUTE_FORGED', 'refused NZ_ROUTE_REPLAYED', 'paths accepted'])
        assert.ok((counts[what] ?? 0) > 0, what)
  })

  for (const { bug, create, caught } of [
    { bug: 'no signature is checked', create: BelievingRouter, caught: /that nobody opened/ },
    { bug: 'the TTL is ignored', create: TirelessRouter, caught: /was opened with ttl/ },
    { bug: 'feasibility is ignored', create: GreedyRouter, caught: /a loop to/ },
  ]) {
    it(`catches a planted bug: ${bug}`, (test) => {
      const cores = { routing: { createRouter: (init: RouterInit) => new create(init) } }
      const { seed, violations } = caughtBy('routes', cores, caught, PLANTED_NODES)
      test.diagnostic(`seed ${seed}: ${violations.find((violation) => caught.test(violation))}`)
    })
  }

  it('catches a planted bug: sequences of sources are not checked', (test) => {
    test.mock.method(SourceSequences.prototype, 'isNew', () => true)
    const { seed, violations } = caughtBy('routes', {}, /took a path from \d+ again/, PLANTED_NODES)
    test.diagnostic(`seed ${seed}: ${violations[0]}`)
  })

  it('catches a planted bug: counters of links are not checked', (test) => {
    test.mock.method(CounterWindow.prototype, 'take', () => true)
    const { seed, violations } = caughtBy('routes', {}, /took the packet .* again/, PLANTED_NODES)
    test.diagnostic(`seed ${seed}: ${violations[0]}`)
  })
})
