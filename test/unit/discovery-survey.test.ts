/** How a node comes to know the others: in a bounded number of questions, to what a table holds. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { placeNamed } from '../../bench/dht-network.ts'
import { seededRandom } from '../../kernel/index.ts'
import { commonBits, compareDistance } from '../../protocols/discovery/distance.ts'
import { FIRST_BUCKET, K, MAX_SURVEYED_BUCKETS } from '../../protocols/discovery/limits.ts'
import { capacityOf, RoutingTable } from '../../protocols/discovery/routing-table.ts'
import { Survey } from '../../protocols/discovery/survey.ts'
import type { Place } from '../../protocols/discovery/distance.ts'
import type { Contact } from '../../protocols/discovery/routing-table.ts'
import type { Part } from '../../protocols/discovery/survey.ts'

const contactNamed = (name: string): Contact => ({
  peerId: name,
  place: placeNamed(name),
  record: { sequence: 1, bytes: new Uint8Array(), content: { kind: 'peer', addresses: [] } },
  range: null,
})

/** Runs one survey for a table; `tell`: whom those who are asked name. */
function survey(table: RoutingTable, self: Place, tell: (part: Part) => readonly Contact[], seed = 1): readonly Part[] {
  const random = seededRandom(seed)
  const asking = new Survey(self, Math.max(1, table.depth()), {
    randomBytes: (count) => random.bytes(count),
    hasRoom: (bucket) => table.hasRoom(bucket),
  })
  const asked: Part[] = []
  for (let part = asking.next(); part !== null; part = asking.next()) {
    asked.push(part)
    const told = tell(part)
    for (const each of told) table.heard(each, { isProven: true })
    asking.answered(told.map(({ place }) => place))
  }
  return asked
}

const nearest = (nodes: readonly Contact[], place: Place): readonly Contact[] =>
  nodes.toSorted((a, b) => compareDistance(place, a.place, b.place)).slice(0, K)

/** All buckets, each in as many pieces as it can hold answers. */
const MOST_ASKED = 15 + 7 + 3 + (MAX_SURVEYED_BUCKETS - 3)

describe('a survey', () => {
  it('finds everybody among 128 from the nearest alone, for every node, in few questions', () => {
    const nodes = Array.from({ length: 128 }, (_, n) => contactNamed(`node${n}`))
    const sizes: number[] = []
    const questions: number[] = []
    for (const [at, self] of nodes.entries()) {
      const others = nodes.filter((node) => node !== self)
      const table = new RoutingTable(self.place)
      for (const near of nearest(others, self.place)) table.heard(near, { isProven: true })
      questions.push(survey(table, self.place, ({ place }) => nearest(others, place), at).length)
      sizes.push(table.size)
    }
    assert.deepEqual([Math.min(...sizes), Math.max(...sizes)], [127, 127])
    assert.ok(Math.max(...questions) <= MOST_ASKED, `${Math.max(...questions)}`)
  })

  it('asks nobody about buckets that are full, and ends with a table as full as it gets among 5,000', () => {
    const self = contactNamed('self')
    const nodes = Array.from({ length: 5_000 }, (_, n) => contactNamed(`node${n}`))
    const table = new RoutingTable(self.place)
    for (const near of nearest(nodes, self.place)) table.heard(near, { isProven: true })
    for (let round = 0; round < 3; round++) survey(table, self.place, ({ place }) => nearest(nodes, place), round)
    const entries = Map.groupBy(table.entries(), ({ place }) => commonBits(self.place, place))
    for (let bucket = 0; bucket < 5; bucket++) assert.equal(entries.get(bucket)?.length, capacityOf(bucket))
    const asked = survey(table, self.place, ({ place }) => nearest(nodes, place)).map(({ place }) => place)
    assert.ok(asked.every((place) => table.hasRoom(commonBits(self.place, place))))
  })

  it('asks a bounded number of questions, whatever liars tell', () => {
    const self = contactNamed('self')
    const random = seededRandom(1)
    const asking = new Survey(self.place, 256, {
      randomBytes: (count) => random.bytes(count),
      hasRoom: () => true,
    })
    let asked = 0
    for (let part = asking.next(); part !== null; part = asking.next()) {
      asked += 1
      const { place } = part
      asking.answered(Array.from({ length: 64 }, () => place))
    }
    assert.equal(asked, MOST_ASKED)
  })

  it('has buckets that hold all of a network of this size: more than k of the far half', () => {
    assert.deepEqual([0, 1, 2, 3, 9, 200].map(capacityOf), [FIRST_BUCKET, 64, 32, K, K, K])
  })
})
