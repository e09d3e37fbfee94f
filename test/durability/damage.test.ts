/**
 * Files of a used home that were changed, cut, emptied, removed, exchanged or put back in an older form, at any place
 * of any file: told or harmless each time, never a wrong value, never the end of a process, and the daemon starts or
 * says why not, however often it is started. `NZ_SEED` repeats a run. Needs a build.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, it } from 'node:test'
import { seededRandom } from '../../kernel/index.ts'
import { clientOf } from './api-writers.ts'
import { NodeProcess } from './node-process.ts'
import { UsedHome } from './used-home.ts'
import type { ChildProcessByStdio } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import type { OpenerOptions } from './damage-opener.ts'

const isFull = process.env['NZ_FULL'] === '1'
const TIMES = isFull ? 10_000 : 1_000
const DAEMON_TIMES = isFull ? 300 : 44
/** What a person is told by a node that finds its files like that. */
const FINE = new Set([
  'harmless',
  'NZ_STORAGE_DAMAGED',
  'NZ_IDENTITY_DAMAGED',
  'NZ_IDENTITY_NONE',
  'NZ_IDENTITY_KEY_FILE_MISSING',
  'NZ_IDENTITY_KEY_FILE_FOREIGN',
])
const ENDED = 'wrong: the process ended'
const OPENER = join(import.meta.dirname, 'damage-opener.ts')

const seed = Number(process.env['NZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

interface OpenerProcess {
  readonly process: ChildProcessByStdio<Writable, Readable, Readable>
  readonly answers: AsyncIterator<string>
  readonly ended: Promise<string>
}

/** A process that opens homes; when one ends it, another takes its place. */
class Opener {
  readonly #options: OpenerOptions
  #child: OpenerProcess | null = null

  constructor(options: OpenerOptions) {
    this.#options = options
  }

  async outcome(home: string): Promise<string> {
    this.#child ??= this.#spawned()
    const { process: child, answers, ended } = this.#child
    child.stdin.write(`${home}\n`)
    const answer = await Promise.race([
      answers.next().then(({ value, done }) => (done === true ? ended : value)),
      ended,
    ])
    if (answer.startsWith(ENDED)) this.#child = null
    return answer
  }

  close(): void {
    this.#child?.process.kill()
  }

  #spawned(): OpenerProcess {
    const child = spawn(process.execPath, [OPENER, JSON.stringify(this.#options)], { stdio: ['pipe', 'pipe', 'pipe'] })
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => void (stderr += text))
    const ended = new Promise<string>((resolve) => {
      child.once('close', (code, signal) => resolve(`${ENDED}: exit ${code} ${signal}: ${stderr.slice(-600)}`))
    })
    return { process: child, answers: createInterface({ input: child.stdout })[Symbol.asyncIterator](), ended }
  }
}

describe('a damaged home', { timeout: 3_600_000, concurrency: true }, () => {
  let folder = ''
  let homes: readonly UsedHome[] = []

  before(async () => {
    folder = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'nz-damage-'))
    homes = await Promise.all(['a', 'b'].map(async (name) => await UsedHome.make(join(folder, name), seed)))
  })

  after(async () => await rm(folder, { recursive: true, force: true }))

  it(`is told or harmless, ${TIMES} times`, async (t) => {
    const random = seededRandom(seed)
    const [used] = homes
    assert.ok(used !== undefined)
    const outcomes = new Map<string, number>()
    const wrong: string[] = []
    const opener = new Opener({ seed, done: used.done })
    try {
      for (let time = 0; time < TIMES; time++) {
        await used.renew()
        const where = await used.damage(random)
        const outcome = await opener.outcome(used.home)
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
        if (!FINE.has(outcome)) wrong.push(`${where}, time ${time}, seed ${seed}: ${outcome}`)
      }
    } finally {
      opener.close()
    }
    const { touched, fileCount } = used
    t.diagnostic(`seed ${seed}, ${touched.size} of ${fileCount} files: ${JSON.stringify(Object.fromEntries(outcomes))}`)
    assert.deepEqual(wrong, [])
    assert.ok((outcomes.get('NZ_STORAGE_DAMAGED') ?? 0) > TIMES / 10)
  })

  it(`has a daemon that starts or says why not, ${DAEMON_TIMES} times`, async (t) => {
    const random = seededRandom(seed + 1)
    const [, used] = homes
    assert.ok(used !== undefined)
    const outcomes = new Map<string, number>()
    for (let time = 0; time < DAEMON_TIMES; time++) {
      await used.renew()
      const where: string = `${await used.damage(random)}, time ${time}, seed ${seed}`
      const first = await startOutcome(used, where)
      assert.equal(await startOutcome(used, where), first, where)
      outcomes.set(first, (outcomes.get(first) ?? 0) + 1)
    }
    t.diagnostic(`seed ${seed}: ${JSON.stringify(Object.fromEntries(outcomes))}`)
    assert.ok(outcomes.size > 1)
  })
})

/** `ready`, with what the store suffers from, or the code of the refusal. Fails when a value is wrong. */
async function startOutcome({ home, api }: UsedHome, where: string): Promise<string> {
  const node = NodeProcess.daemon([], { home })
  const report = JSON.parse(await node.line(/./)) as { state: string; error?: { code: string } }
  if (report.state === 'failed') {
    const { code, signal } = await node.ended
    assert.equal(signal, null, where)
    assert.ok(code !== null && code > 0, where)
    assert.match(report.error?.code ?? '', /^NZ_(?!CLI_UNEXPECTED)/, where)
    return report.error?.code ?? ''
  }
  try {
    const client = clientOf(home)
    const { storage } = await client.storageStatus({})
    if (storage.state === 'safe') {
      await assert.rejects(client.kvPut({ key: 'a', value: 'b', encoding: 'text' }), { exit: 'damaged' }, where)
      return `ready, ${storage.code}`
    }
    assert.equal(await api.settle(client), null, where)
    return 'ready'
  } finally {
    await node.kill()
  }
}
