/** A second reader of NZ-ROUTING-01, written in another language from the text alone, finds its vectors true. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, describe, it } from 'node:test'

const root = resolve(import.meta.dirname, '..', '..')
const reader = join(root, 'test', 'second-reader', 'routing.py')
const vectors = join(root, 'spec', 'vectors', 'routing.json')
const NEEDED = 'import sys; assert sys.version_info >= (3, 9); import cryptography'
/** The first that has what is needed; packages of the system are there for its own alone. */
const interpreter = ['python3', '/usr/bin/python3'].find((each) => spawnSync(each, ['-c', NEEDED]).status === 0)

interface Vectors {
  readonly link: { send: string; readonly sealed: { message: string }[]; confirmation: { counter: number } }
  readonly setup: { readonly hops: { ttl: number }[]; sequence: number }
  readonly refused: { code: string }[]
  readonly answer: { readonly hops: { roundTripUs: number }[] }
  readonly distances: { isFeasible: boolean }[]
  readonly segments: { stream?: number }[]
}

interface Ran {
  readonly status: number | null
  readonly lines: readonly string[]
  readonly errors: string
}

function run(...args: readonly string[]): Ran {
  const { status, stdout, stderr } = spawnSync(interpreter ?? 'python3', args, { encoding: 'utf8', timeout: 60_000 })
  return { status, lines: (stdout ?? '').trimEnd().split('\n'), errors: stderr ?? '' }
}

function counted({ lines }: Ran): readonly [checks: number, mismatches: number] {
  const [, checks, mismatches] = /^(\d+) checks, (\d+) mismatches$/.exec(lines.at(-1) ?? '') ?? []
  assert.ok(checks !== undefined && mismatches !== undefined, `no closing line: ${lines.join('\n')}`)
  return [Number(checks), Number(mismatches)]
}

function nth<Item>(list: readonly Item[], n: number): Item {
  const item = list[n]
  assert.ok(item !== undefined)
  return item
}

const flipped = (hex: string): string => (hex.startsWith('0') ? '1' : '0') + hex.slice(1)

/** One fact of the vectors each, made untrue. */
const corruptions: Readonly<Record<string, (set: Vectors) => unknown>> = {
  'a key of a link': ({ link }) => (link.send = flipped(link.send)),
  'a sealed message': ({ link }) => (nth(link.sealed, 1).message = flipped(nth(link.sealed, 1).message)),
  'a confirmation': ({ link }) => (link.confirmation.counter += 1),
  'a hop': ({ setup }) => (nth(setup.hops, 1).ttl += 1),
  'a refusal': ({ refused }) => (nth(refused, 6).code = 'NZ_ROUTE_FORGED'),
  'a delay': ({ answer }) => (nth(answer.hops, 1).roundTripUs += 1),
  'a distance': ({ distances }) => (nth(distances, 2).isFeasible = true),
  'a segment': ({ segments }) => (nth(segments, 1).stream = 8),
}

const skip = interpreter === undefined ? 'needs python3 (3.9 or later) with its package "cryptography"' : false

describe('a second reader of NZ-ROUTING-01', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'second-reader-'))
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('computes all that the vectors say', () => {
    const ran = run(reader, vectors)
    assert.deepEqual([ran.status, ran.lines.length], [0, 1], [...ran.lines, ran.errors].join('\n'))
    const [checks, mismatches] = counted(ran)
    assert.ok(checks > 50 && mismatches === 0)
  })

  it('reads no setup and no answer in which a bit is changed', () => {
    const ran = run(reader, '--mutate')
    assert.equal(ran.status, 0, [...ran.lines, ran.errors].join('\n'))
    const [checks, mismatches] = counted(ran)
    assert.ok(checks > 1_000 && mismatches === 0)
  })

  for (const [what, corrupt] of Object.entries(corruptions))
    it(`notices ${what} of the vectors that is not true, and nothing else`, () => {
      const set = JSON.parse(readFileSync(vectors, 'utf8')) as Vectors
      corrupt(set)
      const file = join(folder, 'routing.json')
      writeFileSync(file, JSON.stringify(set))
      const ran = run(reader, file)
      assert.deepEqual([ran.status, counted(ran)[1], ran.lines.length], [1, 1, 2], ran.errors)
    })
})
