/** A thousand changes of a sealed content at a thousand places: found every time, and no wrong byte before. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { seededRandom, SimulatedClock } from '../../kernel/index.ts'
import { MemoryFolder } from '../../modules/files/memory-folder.ts'
import { nameOf } from '../../modules/files/name.ts'
import { bytesOf, contentOf, inPieces } from '../compliance/files.ts'
import { openFiles } from '../fake/files.ts'

const runs = process.env['NZ_FULL'] === '1' ? 20_000 : 1_000
const CHUNK = 65_536
const { signal } = new AbortController()

/** One way to change the bytes of a file. */
function changed(sealed: Uint8Array, { unit }: { readonly unit: () => number }, other: Uint8Array): Uint8Array {
  const at = Math.floor(unit() * sealed.length)
  const length = 1 + Math.floor(unit() * 70_000)
  const bytes = Uint8Array.from(sealed)
  switch (Math.floor(unit() * 5)) {
    case 0:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(unit() * 8))
      return bytes
    case 1:
      return bytes.slice(0, at)
    case 2:
      return new Uint8Array(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]))
    case 3:
      return new Uint8Array(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at)]))
    default:
      bytes.set(other.subarray(at, at + length), at)
      return bytes
  }
}

it('finds every change of the file', async () => {
  const clock = new SimulatedClock()
  const folder = new MemoryFolder(clock)
  const content = contentOf(3 * CHUNK + 17)
  await using opened = await openFiles({ folder, clock })
  const { files } = opened
  await files.put('other', inPieces(contentOf(3 * CHUNK + 17, 8)), { signal })
  const [[, other] = ['', new Uint8Array()]] = folder.files
  await files.put('f', inPieces(content), { signal })
  const [diskName = ''] = [...folder.files.keys()].slice(1)
  const sealed = folder.files.get(diskName) ?? new Uint8Array()
  const random = seededRandom(20_261_120)
  for (let run = 0; run < runs; run++) {
    const bytes = changed(sealed, random, other)
    if (Buffer.from(bytes).equals(sealed)) continue
    folder.files.set(diskName, bytes)
    let given = 0
    const read = async (): Promise<void> => {
      for await (const part of await files.read('f', { signal })) {
        assert.deepEqual(Buffer.compare(part, content.subarray(given, given + part.length)), 0)
        given += part.length
      }
    }
    await assert.rejects(read(), { code: 'NZ_FILES_DAMAGED' }, `run ${run}`)
  }
  folder.files.set(diskName, sealed)
  assert.deepEqual(await bytesOf(await files.read('f', { signal })), content)
})

it('gives any range of any content back', async () => {
  await using opened = await openFiles()
  const { files } = opened
  const cases = fc.record({ size: fc.integer({ min: 0, max: 4 * CHUNK }), piece: fc.integer({ min: 1, max: 100_000 }) })
  await fc.assert(
    fc.asyncProperty(cases, fc.nat(), fc.nat(), async ({ size, piece }, a, b) => {
      const content = contentOf(size, size)
      await files.put('f', inPieces(content, Math.max(piece, 1 + (size >> 6))), { signal, replaces: true })
      const [from, to] = [a % (size + 1), b % (size + 1)].toSorted((x, y) => x - y) as [number, number]
      const reading = await files.read('f', { range: { from, to }, signal })
      assert.equal(Buffer.compare(await bytesOf(reading), content.subarray(from, to)), 0)
    }),
    { numRuns: runs / 10 },
  )
})

it('takes as names only what stays below a folder', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (typed) => {
      let name
      try {
        name = nameOf(typed)
      } catch {
        return
      }
      assert.equal(nameOf(name), name)
      assert.ok(!/\p{Cc}|\\/u.test(name) && !name.split('/').some((part) => ['', '.', '..'].includes(part)))
    }),
    { numRuns: runs * 10 },
  )
})
