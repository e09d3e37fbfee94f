/** No loop among next hops, at any instant (NZ-ROUTING-01 §4): random graphs under random trouble. NZ_FULL=1: more of them. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { loopOf, Mesh } from '../fake/routing.ts'

const SEEDS = process.env['NZ_FULL'] === '1' ? 200 : 2
const NODES = 8
const STEPS = 12

it('never form a loop, whatever is lost, doubled, overtaken, cut and healed', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const mesh = new Mesh({
      seed,
      loss: 0.1,
      duplication: 0.05,
      delayMs: [1, 400],
      onStep: ({ routers }) => {
        for (const destination of routers.keys()) assert.equal(loopOf(routers, destination), null, `seed ${seed}`)
      },
    })
    const keys = Array.from({ length: NODES }, (_, at) => mesh.add(`node ${at}`))
    const pairs = keys.flatMap((a, at) => keys.slice(at + 1).map((b) => [a, b] as const))
    let routes = 0
    for (let step = 0; step < STEPS; step++) {
      for (const [a, b] of pairs) {
        if (mesh.random.unit() > 0.2) continue
        if (mesh.isLinked(a, b)) mesh.cut(a, b, { isTold: mesh.random.unit() < 0.5 })
        else mesh.link(a, b)
      }
      mesh.advance(2_000)
      for (const router of mesh.routers.values()) routes += router.routes(mesh.nowMs).length
    }
    assert.ok(routes > NODES * STEPS, `seed ${seed}: there were hardly any routes to form a loop of`)
  }
})
