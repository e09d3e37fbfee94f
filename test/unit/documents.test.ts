/** Versioned documents: conflicts are refused, forks are recorded and told, and order of arrival decides nothing. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { SimulatedClock } from '../../kernel/index.ts'
import { Documents, MAX_WAITING } from '../../modules/documents/documents.ts'
import { Shelf } from '../../modules/documents/shelf.ts'
import { MAX_CONTENT_BYTES } from '../../protocols/documents/version.ts'
import { fakeIdentity } from '../fake/identity.ts'
import { memoryDisk, openStore } from '../fake/storage.ts'
import type { DocumentLimits } from '../../modules/documents/documents.ts'
import type { SignedVersion, StoredVersion } from '../../modules/documents/service.ts'
import type { MemoryDisk } from '../fake/storage.ts'

const bytes = (value: string): Uint8Array => Uint8Array.from(Buffer.from(value))
const text = (value: Uint8Array): string => Buffer.from(value).toString()

interface Told {
  readonly name: string
  readonly payload: unknown
}

async function library(init: Partial<DocumentLimits> & { readonly seed?: number; readonly disk?: MemoryDisk } = {}) {
  const { seed = 1, disk = memoryDisk(), ...limits } = init
  const clock = new SimulatedClock()
  const storage = await openStore({ disk, clock })
  const told: Told[] = []
  const events = { emit: ({ name }: { name: string }, payload: unknown) => void told.push({ name, payload }) }
  const shelf = new Shelf(storage.namespace('documents'))
  const documents = new Documents(
    { shelf, identity: fakeIdentity(seed), clock, events },
    { maxVersions: 10_000, maxHeads: 16, ...limits },
  )
  return { documents, told, disk, clock, [Symbol.asyncDispose]: async () => await storage.close() }
}

it('keeps every version, gives the head, and knows what follows what, over restarts', async () => {
  const disk = memoryDisk()
  let first: StoredVersion
  {
    await using under = await library({ disk })
    first = await under.documents.put('notes/a', bytes('one'))
    await under.documents.put('notes/a', bytes('two'), { parent: first.id.slice(0, 8) })
  }
  await using under = await library({ disk })
  const { documents } = under
  assert.equal(text((await documents.get('notes/a')).content), 'two')
  assert.equal(text((await documents.get('notes/a', first.id)).content), 'one')
  const third = await documents.put('notes/a', bytes('three'), { parent: 'head' })
  assert.deepEqual([first.time, third.time], [1, 3])
  const history = await documents.history('notes/a')
  assert.deepEqual(
    history.map(({ time, isHead, children }) => [time, isHead, children.length]),
    [
      [3, true, 0],
      [2, false, 1],
      [1, false, 1],
    ],
  )
  await documents.put('other', bytes('x'), { parent: 'head' })
  assert.deepEqual(
    (await documents.list()).map(({ document, versions }) => [document, versions]),
    [
      ['notes/a', 3],
      ['other', 1],
    ],
  )
  assert.deepEqual((await documents.list({ prefix: 'o' })).length, 1)
  assert.deepEqual(
    (await documents.list({ after: 'notes/a', limit: 1 })).map(({ document }) => document),
    ['other'],
  )
})

it('refuses what follows a version that is no head, unless a fork is asked for; a merge names both', async () => {
  await using under = await library()
  const { documents, told } = under
  const root = await documents.put('plan', bytes('root'))
  await assert.rejects(documents.put('plan', bytes('x')), { code: 'NZ_DOCS_CONFLICT' })
  const left = await documents.put('plan', bytes('left'), { parent: root.id })
  await assert.rejects(
    documents.put('plan', bytes('right'), { parent: root.id }),
    (error: Error & { data?: unknown }) => {
      assert.deepEqual(error.data, { document: 'plan', heads: [left.id] })
      return true
    },
  )
  assert.equal(told.filter(({ name }) => name === 'documents.forked').length, 0)
  const right = await documents.put('plan', bytes('right'), { parent: root.id, allowsFork: true })
  const children = [left.id, right.id].toSorted()
  assert.deepEqual(told.findLast(({ name }) => name === 'documents.forked')?.payload, {
    document: 'plan',
    parent: root.id,
    children,
  })
  const state = await documents.heads('plan')
  assert.deepEqual([state.isForked, state.forks, state.heads.map(({ id }) => id)], [true, 1, children])
  await assert.rejects(documents.get('plan'), { code: 'NZ_DOCS_FORKED' })
  await assert.rejects(documents.put('plan', bytes('x'), { parent: 'head' }), { code: 'NZ_DOCS_FORKED' })
  assert.equal(text((await documents.get('plan', left.id)).content), 'left')
  await assert.rejects(documents.merge('plan', bytes('m'), { parents: [left.id, root.id] }), {
    code: 'NZ_DOCS_CONFLICT',
  })
  await assert.rejects(documents.merge('plan', bytes('m'), { parents: [left.id, left.id] }), {
    code: 'NZ_DOCS_NAME_INVALID',
  })
  const merged = await documents.merge('plan', bytes('both'), { parents: [right.id, left.id] })
  assert.deepEqual([merged.kind, merged.parents, merged.time], ['merge', children, 3])
  assert.deepEqual(
    (await documents.heads('plan')).heads.map(({ id }) => id),
    [merged.id],
  )
  // The fork has been, and stays in the history.
  assert.equal((await documents.heads('plan')).forks, 1)
})

it('deletes by a tombstone, and brings back by what follows it', async () => {
  await using under = await library()
  const { documents } = under
  await documents.put('plan', bytes('one'))
  const tombstone = await documents.delete('plan')
  await assert.rejects(documents.get('plan'), { code: 'NZ_DOCS_NOT_FOUND' })
  assert.deepEqual(await documents.list(), [])
  assert.equal((await documents.list({ includesDeleted: true }))[0]?.isDeleted, true)
  assert.equal((await documents.history('plan')).length, 2)
  await assert.rejects(documents.put('plan', bytes('x')), { code: 'NZ_DOCS_CONFLICT' })
  await documents.put('plan', bytes('again'), { parent: tombstone.id })
  assert.equal(text((await documents.get('plan')).content), 'again')
})

it('drops contents on demand and keeps what proves them', async () => {
  await using under = await library()
  const { documents } = under
  const made: StoredVersion[] = []
  for (const content of ['one', 'two', 'three', 'four']) {
    made.push(await documents.put('plan', bytes(content), { parent: 'head' }))
  }
  assert.deepEqual(await documents.prune('plan', { keep: 1 }), { pruned: 2, bytes: 6 })
  assert.deepEqual(await documents.prune('plan', { keep: 1 }), { pruned: 0, bytes: 0 })
  await assert.rejects(documents.get('plan', made[0]?.id), { code: 'NZ_DOCS_PRUNED' })
  assert.equal(text((await documents.get('plan', made[2]?.id)).content), 'three')
  assert.equal(text((await documents.get('plan')).content), 'four')
  assert.deepEqual(
    (await documents.history('plan')).map(({ isPruned }) => isPruned),
    [false, false, true, true],
  )
  const { encoded, signature, content } = await documents.signed('plan', made[0]?.id ?? '')
  assert.equal(content, null)
  await using other = await library({ seed: 2 })
  assert.equal((await other.documents.accept({ encoded, signature, content })).id, made[0]?.id)
})

it('keeps its bounds', async () => {
  await using under = await library({ maxVersions: 4, maxHeads: 2 })
  const { documents } = under
  const root = await documents.put('plan', bytes('root'))
  await assert.rejects(documents.put('big', new Uint8Array(MAX_CONTENT_BYTES + 1)), { code: 'NZ_DOCS_TOO_LARGE' })
  for (const name of ['', 'a\u0001', 'x'.repeat(257), '\ud800']) {
    await assert.rejects(documents.put(name, bytes('x')), { code: 'NZ_DOCS_NAME_INVALID' })
  }
  const fork = { parent: root.id, allowsFork: true }
  await documents.put('plan', bytes('a'), fork)
  await documents.put('plan', bytes('b'), fork)
  await assert.rejects(documents.put('plan', bytes('c'), fork), { code: 'NZ_DOCS_QUOTA' })
  const { heads } = await documents.heads('plan')
  const merged = await documents.merge('plan', bytes('m'), { parents: heads.map(({ id }) => id) })
  await assert.rejects(documents.put('plan', bytes('one more'), { parent: merged.id }), { code: 'NZ_DOCS_QUOTA' })
  await assert.rejects(documents.get('plan', 'abc'), { code: 'NZ_DOCS_NAME_INVALID' })
  await assert.rejects(documents.get('plan', '00000000'), { code: 'NZ_DOCS_NOT_FOUND' })
  const waiting = Array.from(
    { length: MAX_WAITING },
    async (_, n) => await documents.put(`n${n % 7}`, bytes('x'), fork),
  )
  await assert.rejects(documents.put('n', bytes('x')), { code: 'NZ_DOCS_BUSY' })
  await Promise.allSettled(waiting)
})

it('lets one of many who change the same head at once win, and tells the others', async () => {
  await using under = await library()
  const { documents } = under
  const root = await documents.put('plan', bytes('root'))
  const tries = await Promise.allSettled(
    Array.from({ length: 20 }, async (_, n) => await documents.put('plan', bytes(`${n}`), { parent: root.id })),
  )
  assert.equal(tries.filter(({ status }) => status === 'fulfilled').length, 1)
  assert.equal((await documents.heads('plan')).versions, 2)
})

it('takes no version that does not prove itself', async () => {
  await using theirs = await library({ seed: 2 })
  const root = await theirs.documents.put('plan', bytes('root'))
  const next = await theirs.documents.put('plan', bytes('next'), { parent: 'head' })
  const [first, second] = [
    await theirs.documents.signed('plan', root.id),
    await theirs.documents.signed('plan', next.id),
  ]
  await using under = await library()
  const { documents } = under
  await assert.rejects(documents.accept(second), { code: 'NZ_DOCS_PARENT_UNKNOWN' })
  const flipped = Uint8Array.from(first.encoded)
  flipped[flipped.length - 40] = (flipped[flipped.length - 40] ?? 0) ^ 1
  const forged: readonly SignedVersion[] = [
    { ...first, encoded: flipped },
    { ...first, signature: second.signature },
    { ...first, content: bytes('else') },
    { ...first, encoded: Uint8Array.from([...first.encoded, 0]) },
    { ...first, encoded: new Uint8Array() },
  ]
  for (const version of forged) await assert.rejects(documents.accept(version), { code: 'NZ_DOCS_VERSION_INVALID' })
  await documents.accept(first)
  await documents.accept(second)
  assert.deepEqual(await documents.accept(second), next)
  assert.deepEqual([(await documents.get('plan')).author, (await documents.heads('plan')).versions], [next.author, 2])
})

it('has the same heads and forks in whatever order the same versions arrive', async () => {
  // Versions by two authors: each step follows earlier ones by index.
  const steps = fc.array(fc.array(fc.nat({ max: 50 }), { minLength: 0, maxLength: 3 }), { minLength: 1, maxLength: 9 })
  await fc.assert(
    fc.asyncProperty(steps, fc.infiniteStream(fc.nat()), async (plan, chance) => {
      await using source = await library({ maxHeads: 256 })
      const versions: SignedVersion[] = []
      const ids: string[] = []
      for (const [at, wanted] of plan.entries()) {
        const made = await follow(source.documents, ids, { at, wanted })
        if (made === null) continue
        ids.push(made.id)
        versions.push(await source.documents.signed('plan', made.id))
      }
      const expected = await outcome(source.documents)
      for (const seed of [2, 3]) {
        await using target = await library({ seed, maxHeads: 256 })
        await deliver(target.documents, versions, () => Number(chance.next().value))
        assert.deepEqual(await outcome(target.documents), expected)
      }
    }),
    { numRuns: 12 },
  )
})

async function follow(
  documents: Documents,
  ids: readonly string[],
  { at, wanted }: { readonly at: number; readonly wanted: readonly number[] },
): Promise<StoredVersion | null> {
  const content = bytes(`version ${at}`)
  if (ids.length === 0) return await documents.put('plan', content)
  const { heads } = await documents.heads('plan')
  if (wanted.length > 1 && heads.length > 1) {
    return await documents.merge('plan', content, { parents: heads.slice(0, 16).map(({ id }) => id) })
  }
  const parent = ids[(wanted[0] ?? 0) % ids.length]
  if (wanted.length === 0) return await documents.delete('plan', { parent: heads[0]?.id ?? '', allowsFork: true })
  return await documents.put('plan', content, { parent: parent ?? '', allowsFork: true })
}

/** Any order: what comes before its parents is tried again. */
async function deliver(documents: Documents, versions: readonly SignedVersion[], chance: () => number): Promise<void> {
  const left = [...versions]
  while (left.length > 0) {
    const [version] = left.splice(chance() % left.length, 1)
    if (version === undefined) return
    try {
      await documents.accept(version)
      if (chance() % 3 === 0) await documents.accept(version)
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'NZ_DOCS_PARENT_UNKNOWN')
      left.push(version)
    }
  }
}

async function outcome(documents: Documents): Promise<unknown> {
  const { heads, versions, forks, isDeleted } = await documents.heads('plan')
  const history = await documents.history('plan')
  const forked = history.filter(({ children }) => children.length > 1).map(({ id, children }) => [id, children])
  return { heads, versions, forks, isDeleted, forked, times: history.map(({ id, time }) => [id, time]) }
}
