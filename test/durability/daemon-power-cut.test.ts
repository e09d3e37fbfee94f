/**
 * A power cut of the daemon, from the first moment of its first start on: what is left of its home is started again by
 * the daemon. Its identity is the one it had said to be ready with, every record and file that was acknowledged through the
 * local API is there, and it starts. How, and what stands for the disk: power-cut.test.ts. Needs a build.
 */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { seededRandom } from '../../kernel/index.ts'
import { homeOf } from '../../protocols/ipc/home.ts'
import { connect } from '../../sdk/index.ts'
import { ApiWriters, clientOf } from './api-writers.ts'
import { CUT_KINDS, DiskModel } from './disk-model.ts'
import { NodeProcess } from './node-process.ts'
import { needsTracing, readCalls, recording } from './system-calls.ts'
import type { CallEvent } from './system-calls.ts'

const CUTS = process.env['NZ_FULL'] === '1' ? 400 : 40
const WRITERS = 3
const LIVES = 3
const STEPS_PER_LIFE = 25
const FILES_PER_LIFE = 4
/** More than one chunk, and less. */
const FILE_BYTES = [100, 200_000]

const seed = Number(process.env['NZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

describe('a power cut of the daemon', { timeout: 3_600_000, ...needsTracing() }, () => {
  let folder = ''
  let home = ''
  let peerId = ''
  const lives: (readonly CallEvent[])[] = []

  before(async () => {
    folder = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'nz-cut-'))
    home = join(folder, 'h')
    await mkdir(home, { mode: 0o700 })
    const api = new ApiWriters({ seed, writers: WRITERS })
    for (let life = 0; life < LIVES; life++) {
      const trace = join(folder, `trace.${life}`)
      const node = NodeProcess.daemon([], { home, wrap: recording(trace) })
      assert.match(await node.line(/./), /"state":"ready"/)
      const client = clientOf(home)
      peerId = (await client.identityShow({})).peerId
      assert.deepEqual(await api.write(client, { stepLimit: STEPS_PER_LIFE }), Array(WRITERS).fill(null))
      const { files } = await connect({ socketPath: homeOf({ env: { NZ_HOME: home } }).socketPath })
      for (let n = life * FILES_PER_LIFE; n < (life + 1) * FILES_PER_LIFE; n++) await files.put(nameOf(n), contentOf(n))
      await (life === 1 ? node.stop() : node.kill())
      lives.push(await readCalls(trace))
    }
  })

  after(async () => await rm(folder, { recursive: true, force: true }))

  it(`starts again as itself with everything acknowledged, at ${CUTS} places`, async (t) => {
    const random = seededRandom(seed)
    const total = lives.reduce((sum, life) => sum + life.length, 0)
    const places = Array.from({ length: CUTS }, () => 1 + Math.floor(random.unit() * total)).toSorted((a, b) => a - b)
    const api = new ApiWriters({ seed, writers: WRITERS })
    const kept = new Set<number>()
    let isReady = false
    const onOutput = (bytes: Buffer): void => {
      const text = bytes.toString('latin1')
      if (text.includes('"state":"ready"')) isReady = true
      for (const [, n] of text.matchAll(/"name":"power-cut\/(\d+)","contentId"/g)) kept.add(Number(n))
      for (const [, writer] of text.matchAll(/"key":"wombatkey-(\d+)\//g)) api.plans[Number(writer) - 100]?.advance()
    }
    rmSync(home, { recursive: true, force: true })
    mkdirSync(home, { mode: 0o700 })
    const model = new DiskModel({ root: home, onOutput })
    model.load()
    const cuts = { beforeReady: 0, afterReady: 0 }
    let at = 0
    let next = 0
    for (const life of lives) {
      model.newProcess()
      for (const event of life) {
        model.apply(event)
        at += 1
        for (; places[next] === at; next++) {
          rmSync(home, { recursive: true, force: true })
          mkdirSync(home, { mode: 0o700 })
          const kind = CUT_KINDS[next % CUT_KINDS.length] ?? 'mixed'
          model.cut(home, kind, seededRandom(seed + next))
          await startedAgain(
            `cut ${next} (${kind}) after event ${at}, seed ${seed}`,
            isReady ? peerId : null,
            api,
            kept,
          )
          cuts[isReady ? 'afterReady' : 'beforeReady'] += 1
        }
      }
    }
    t.diagnostic(`seed ${seed}: ${JSON.stringify({ ...cuts, acknowledged: api.steps, files: kept.size })}`)
    assert.deepEqual([api.steps, kept.size], [LIVES * STEPS_PER_LIFE * WRITERS, LIVES * FILES_PER_LIFE])
  })

  async function startedAgain(
    where: string,
    expected: string | null,
    api: ApiWriters,
    kept: ReadonlySet<number>,
  ): Promise<void> {
    const node = NodeProcess.daemon([], { home })
    try {
      assert.match(await node.line(/./), /"state":"ready"/, where)
      const client = clientOf(home)
      if (expected !== null) assert.equal((await client.identityShow({})).peerId, expected, where)
      const { storage } = await client.storageStatus({})
      assert.equal(storage.state, 'open', `${where}: ${storage.why}`)
      assert.equal(await api.settleReadOnly(client), null, where)
      const { files } = await connect({ socketPath: homeOf({ env: { NZ_HOME: home } }).socketPath })
      for (const n of kept) {
        const bytes = await (await files.read(nameOf(n))).bytes()
        assert.equal(Buffer.compare(bytes, contentOf(n)), 0, `${where}: ${nameOf(n)}`)
      }
      // One that was not acknowledged is whole or not there.
      for await (const { name } of files.list()) await (await files.read(name)).bytes()
    } finally {
      await node.kill()
    }
  }
})

function nameOf(n: number): string {
  return `power-cut/${n}`
}

function contentOf(n: number): Uint8Array {
  return seededRandom(n).bytes(FILE_BYTES[n % FILE_BYTES.length] ?? 0)
}
