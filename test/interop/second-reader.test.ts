/** Second readers of our texts, written in another language from the texts alone, find their vectors true. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, describe, it } from 'node:test'

const root = resolve(import.meta.dirname, '..', '..')
const reader = join(root, 'test', 'second-reader', 'trust.py')
const vectors = join(root, 'spec', 'vectors', 'trust.json')

interface Vectors {
  readonly updates: ReadonlyArray<{ id: string; issued: number }>
  readonly refused: ReadonlyArray<{ code: string }>
  readonly deliveries: ReadonlyArray<{ readonly codes: string[]; root: string }>
  readonly questions: ReadonlyArray<{ weight: number; readonly revokedBy: string[] }>
}

interface Ran {
  readonly status: number | null
  readonly lines: readonly string[]
}

const NEEDED = 'import sys; assert sys.version_info >= (3, 9); import cryptography'
/** The first that has what is needed; packages of the system are there for its own alone. */
const interpreter = ['python3', '/usr/bin/python3'].find((each) => spawnSync(each, ['-c', NEEDED]).status === 0)

function python(...args: readonly string[]): Ran & { readonly errors: string } {
  const { status, stdout, stderr } = spawnSync(interpreter ?? 'python3', args, { encoding: 'utf8', timeout: 60_000 })
  return { status, lines: (stdout ?? '').trimEnd().split('\n'), errors: stderr ?? '' }
}

function missing(): false | string {
  return interpreter === undefined ? 'needs python3 (3.9 or later) with its package "cryptography"' : false
}

function counted({ lines }: Ran): readonly [checks: number, mismatches: number] {
  const [, checks, mismatches] = /^(\d+) checks, (\d+) mismatches$/.exec(lines.at(-1) ?? '') ?? []
  assert.ok(checks !== undefined && mismatches !== undefined, `no closing line: ${lines.join('\n')}`)
  return [Number(checks), Number(mismatches)]
}

const flipped = (hex: string): string => (hex.startsWith('0') ? '1' : '0') + hex.slice(1)

function nth<Item>(list: readonly Item[], n: number): Item {
  const item = list[n]
  assert.ok(item !== undefined)
  return item
}

/** One fact of the vectors each, made untrue. */
const corruptions: Readonly<Record<string, (set: Vectors) => unknown>> = {
  'an id': ({ updates }) => (nth(updates, 4).id = flipped(nth(updates, 4).id)),
  'a field': ({ updates }) => (nth(updates, 4).issued += 1),
  'a refusal': ({ refused }) => (nth(refused, 2).code = 'NZ_TRUST_FORGED'),
  'a code': ({ deliveries }) => (nth(deliveries, 3).codes[0] = 'taken'),
  'a root': ({ deliveries }) => (nth(deliveries, 2).root = flipped(nth(deliveries, 2).root)),
  'a weight': ({ questions }) => (nth(questions, 3).weight -= 1),
  'a revocation': ({ questions }) => nth(questions, 5).revokedBy.pop(),
}

describe('a second reader of NZ-TRUST-01', { skip: missing() }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'second-reader-'))
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('computes all that the vectors say', () => {
    const ran = python(reader, vectors)
    assert.deepEqual([ran.status, ran.lines.length], [0, 1], [...ran.lines, ran.errors].join('\n'))
    const [checks, mismatches] = counted(ran)
    assert.ok(checks > 500 && mismatches === 0)
  })

  it('reads no update in which a bit is changed, and no CBOR that is not deterministic', () => {
    const ran = python(reader, '--mutate')
    assert.equal(ran.status, 0, [...ran.lines, ran.errors].join('\n'))
    const [checks, mismatches] = counted(ran)
    assert.ok(checks > 10_000 && mismatches === 0)
  })

  for (const [what, corrupt] of Object.entries(corruptions))
    it(`notices ${what} of the vectors that is not true, and nothing else`, () => {
      const set = JSON.parse(readFileSync(vectors, 'utf8')) as Vectors
      corrupt(set)
      const file = join(folder, 'trust.json')
      writeFileSync(file, JSON.stringify(set))
      const ran = python(reader, file)
      assert.deepEqual([ran.status, counted(ran)[1], ran.lines.length], [1, 1, 2], ran.errors)
    })

  it('says nothing good of vectors that are none', () => {
    const file = join(folder, 'none.json')
    writeFileSync(file, '{}')
    assert.notEqual(python(reader, file).status, 0)
  })
})

interface ChannelVectors {
  readonly frames: ReadonlyArray<{ flags: number }>
  readonly refusedFrames: ReadonlyArray<{ code: string }>
  readonly chunks: ReadonlyArray<{ result: string }>
  readonly conversations: ReadonlyArray<{ readonly answers: unknown[] }>
  readonly handshakes: ReadonlyArray<{
    readonly frames: string[]
    secret: string
    readonly packets: ReadonlyArray<{ plain?: string }>
  }>
  readonly refusals: ReadonlyArray<{ code: string }>
  readonly windows: ReadonlyArray<{ readonly results: string[] }>
}

const channelReader = join(root, 'test', 'second-reader', 'channel.py')
const channelVectors = join(root, 'spec', 'vectors', 'channel.json')

/** One fact of the vectors each, made untrue. */
const channelCorruptions: Readonly<Record<string, (set: ChannelVectors) => unknown>> = {
  'a frame': ({ frames }) => (nth(frames, 2).flags = 1),
  'the refusal of a frame': ({ refusedFrames }) => (nth(refusedFrames, 3).code = 'NZ_WIRE_FLAGS'),
  'what was compressed': ({ chunks }) => (nth(chunks, 0).result = flipped(nth(chunks, 0).result)),
  'an answer': ({ conversations }) => (nth(conversations, 4).answers[0] = 'none'),
  'a handshake message': ({ handshakes }) => {
    const { frames } = nth(handshakes, 1)
    frames[1] = (frames[1] ?? '').replace(/.$/, (digit) => (digit === '0' ? '1' : '0'))
  },
  'a secret': ({ handshakes }) => (nth(handshakes, 2).secret = flipped(nth(handshakes, 2).secret)),
  'a payload': ({ handshakes }) => (nth(nth(handshakes, 0).packets, 1).plain = 'something else'),
  'the refusal of a handshake': ({ refusals }) => (nth(refusals, 6).code = 'NZ_HANDSHAKE_FORGED'),
  'a replay window': ({ windows }) => (nth(windows, 1).results[1] = 'replayed'),
}

describe('a second reader of NZ-WIRE-01, NZ-HANDSHAKE-01 and NZ-CHANNEL-01', { skip: missing() }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'second-reader-'))
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('computes all that the vectors say', () => {
    const ran = python(channelReader, channelVectors)
    assert.deepEqual([ran.status, ran.lines.length], [0, 1], [...ran.lines, ran.errors].join('\n'))
    const [checks, mismatches] = counted(ran)
    assert.ok(checks > 400 && mismatches === 0)
  })

  it('takes no packet and no handshake message in which a bit is changed', () => {
    const ran = python(channelReader, '--mutate')
    assert.equal(ran.status, 0, [...ran.lines, ran.errors].join('\n'))
    const [checks, mismatches] = counted(ran)
    assert.ok(checks > 1_500 && mismatches === 0)
  })

  for (const [what, corrupt] of Object.entries(channelCorruptions))
    it(`notices ${what} of the vectors that is not true, and nothing else`, () => {
      const set = JSON.parse(readFileSync(channelVectors, 'utf8')) as ChannelVectors
      corrupt(set)
      const file = join(folder, 'channel.json')
      writeFileSync(file, JSON.stringify(set))
      const ran = python(channelReader, file)
      assert.deepEqual([ran.status, counted(ran)[1], ran.lines.length], [1, 1, 2], ran.errors)
    })
})
