/**
 * Second readers of our texts, written in another language from the texts alone, find their vectors true. Each reader says
 * in its head what of its text it checks.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, describe, it } from 'node:test'

const root = resolve(import.meta.dirname, '..', '..')
const NEEDED = 'import sys; assert sys.version_info >= (3, 9); import cryptography'
/** The first that has what is needed; packages of the system are there for its own alone. */
const interpreter = ['python3', '/usr/bin/python3'].find((each) => spawnSync(each, ['-c', NEEDED]).status === 0)
const skip = interpreter === undefined ? 'needs python3 (3.9 or later) with its package "cryptography"' : false

interface Reader {
  readonly text: string
  /** At least so many comparisons: a set that lost its vectors is no proof. */
  readonly checks: number
  /** So many things that were changed in what is signed, sealed or framed, and may not be taken for what it was. */
  readonly mutations: number
  /** Fields of the vectors that were each made untrue. */
  readonly fields: number
}

const readers: Readonly<Record<string, Reader>> = {
  trust: { text: 'NZ-TRUST-01', checks: 500, mutations: 10_000, fields: 30 },
  discovery: { text: 'NZ-DISCOVERY-01', checks: 120, mutations: 8_000, fields: 30 },
  wire: { text: 'NZ-WIRE-01', checks: 350, mutations: 10_000, fields: 20 },
  handshake: { text: 'NZ-HANDSHAKE-01', checks: 370, mutations: 1_300, fields: 50 },
  channel: { text: 'NZ-CHANNEL-01', checks: 230, mutations: 2_000, fields: 28 },
  routing: { text: 'NZ-ROUTING-01', checks: 400, mutations: 1_500, fields: 150 },
}

interface Ran {
  readonly status: number | null
  readonly lines: readonly string[]
  readonly errors: string
}

function run(name: string, ...args: readonly string[]): Ran {
  const reader = join(root, 'test', 'second-reader', `${name}.py`)
  const options = { encoding: 'utf8', timeout: 300_000 } as const
  const { status, stdout, stderr } = spawnSync(interpreter ?? 'python3', [reader, ...args], options)
  return { status, lines: (stdout ?? '').trimEnd().split('\n'), errors: stderr ?? '' }
}

/** A run that found nothing wrong, in at least so many comparisons. */
function agrees({ status, lines, errors }: Ran, least: number): void {
  assert.deepEqual([status, lines.length], [0, 1], [...lines, errors].join('\n'))
  const [, checks, mismatches] = /^(\d+) checks, (\d+) mismatches$/.exec(lines[0] ?? '') ?? []
  assert.ok(Number(checks) >= least && mismatches === '0', lines[0])
}

for (const [name, { text, checks, mutations, fields }] of Object.entries(readers)) {
  describe(`a second reader of ${text}`, { skip }, () => {
    const folder = mkdtempSync(join(tmpdir(), 'second-reader-'))
    after(() => rmSync(folder, { recursive: true, force: true }))
    const vectors = join(root, 'spec', 'vectors', `${name}.json`)

    it('computes all that the vectors say', () => agrees(run(name, vectors), checks))

    it('takes nothing in which a bit is changed for what it was', () => {
      agrees(run(name, '--mutate', vectors), mutations)
    })

    it('notices each field of the vectors that is not true', () => agrees(run(name, '--corrupt', vectors), fields))

    it('says nothing good of vectors that are none, or that have a part it does not know', () => {
      const file = join(folder, 'vectors.json')
      writeFileSync(file, '{}')
      assert.notEqual(run(name, file).status, 0)
      const known = JSON.parse(readFileSync(vectors, 'utf8')) as object
      writeFileSync(file, JSON.stringify({ ...known, unknown: [] }))
      const { status, lines } = run(name, file)
      assert.deepEqual([status, lines.length], [1, 2], lines.join('\n'))
    })
  })
}
