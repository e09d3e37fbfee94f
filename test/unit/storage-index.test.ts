/** The index of a namespace against a plain sorted list; what is frozen stays as it was. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { KeyIndex } from '../../modules/storage/key-index.ts'
import type { IndexEntry, IndexRange } from '../../modules/storage/key-index.ts'

const salt = new Uint8Array(16)
const entry = (key: string, counter: number, generation = 1): IndexEntry => ({
  key,
  generation,
  salt,
  counter,
  bytes: 1,
  expiresAtMs: 0,
})

/** What a list without chunks would give. */
function plainRange(all: ReadonlyMap<string, IndexEntry>, { prefix = '', after, reverse }: IndexRange): string[] {
  const keys = [...all.keys()].filter((key) => key.startsWith(prefix)).toSorted((a, b) => (a < b ? -1 : 1))
  const kept = keys.filter((key) => after === undefined || (reverse === true ? key < after : key > after))
  return reverse === true ? kept.toReversed() : kept
}

const keysOf = (entries: Iterable<IndexEntry>): string[] => [...entries].map(({ key }) => key)

it('says what a plain list says, over any changes', () => {
  const key = fc.string({ unit: fc.constantFrom('a', 'b', '/'), maxLength: 4 })
  const change = fc.record({ isDelete: fc.boolean(), key, generation: fc.constantFrom(1, 2) })
  const range = fc.record({ prefix: key, after: key, reverse: fc.boolean() }, { requiredKeys: [] })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 200 }), fc.array(range, { maxLength: 10 }), (changes, ranges) => {
      const index = new KeyIndex()
      const plain = new Map<string, IndexEntry>()
      for (const [counter, one] of changes.entries()) {
        if (one.isDelete) {
          index.delete(one.key)
          plain.delete(one.key)
        } else {
          const made = entry(one.key, counter, one.generation)
          index.set(made)
          plain.set(one.key, made)
        }
      }
      assert.equal(index.size, plain.size)
      assert.equal(index.olderThan(2), [...plain.values()].filter(({ generation }) => generation < 2).length)
      for (const one of ranges) assert.deepEqual(keysOf(index.frozen().entries(one)), plainRange(plain, one))
      for (const [at, made] of plain) assert.equal(index.get(at), made)
    }),
    { numRuns: 200 },
  )
})

it('keeps its order over many chunks, and what was frozen as it was', () => {
  const index = new KeyIndex()
  const plain = new Map<string, IndexEntry>()
  const put = (n: number, counter: number): void => {
    const made = entry(`k/${(n * 7_919) % 5_003}`, counter)
    index.set(made)
    plain.set(made.key, made)
  }
  for (let n = 0; n < 5_003; n++) put(n, n)
  const frozen = index.frozen()
  const before = new Map(plain)
  for (let n = 0; n < 5_003; n += 2) put(n, 10_000 + n)
  for (let n = 0; n < 5_003; n += 3) {
    index.delete(`k/${n}`)
    plain.delete(`k/${n}`)
  }
  for (const range of [{}, { reverse: true }, { prefix: 'k/4' }, { prefix: 'k/4', after: 'k/44', reverse: true }]) {
    assert.deepEqual(keysOf(frozen.entries(range)), plainRange(before, range))
    assert.deepEqual(keysOf(index.frozen().entries(range)), plainRange(plain, range))
  }
  assert.equal(frozen.get('k/2'), before.get('k/2'))
  assert.equal(index.get('k/3'), null)
  assert.deepEqual(keysOf(index.values()), plainRange(plain, {}))
})
