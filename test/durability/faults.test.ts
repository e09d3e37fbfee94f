/**
 * A disk that fails under the daemon: strace makes the calls fail that concern the files of the store, and a small disk
 * fills up and cuts writes short. The daemon stays up, says by a code what it cannot do, goes on by itself when the
 * disk does, and has everything acknowledged, also after a kill. Needs a build.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, truncateSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { after, before, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { isNzError } from '../../kernel/index.ts'
import { homeOf } from '../../protocols/ipc/home.ts'
import { createClient } from '../../sdk/index.ts'
import { ApiWriters, clientOf } from './api-writers.ts'
import { inject } from './fault-injection.ts'
import { NodeProcess } from './node-process.ts'
import { needsTracing } from './system-calls.ts'
import type { NzClient } from '../../sdk/index.ts'

const isFull = process.env['NZ_FULL'] === '1'
/** The call of each thread that is the first to fail. */
const FIRST_CALLS = isFull ? Array.from({ length: 50 }, (_, n) => n + 1) : [1, 2, 5, 14]
const RECOVERS_MS = 30_000
const STEPS = 60
/** More than LevelDB keeps in memory: it must begin a new log. */
const LARGE_VALUES = 10
const LARGE_VALUE_BYTES = 300_000
const SMALL_DISK_MIB = 24
/** Room that is left on the full disk. */
const ROOMS = [0, 5_000, 40_000, 200_000]

/** A view of the mounted disks that a process has for itself. */
const OWN_MOUNTS =
  process.getuid?.() === 0 ? ['unshare', '--mount'] : ['unshare', '--user', '--map-root-user', '--mount']

const seed = Number(process.env['NZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

const FAULTS = [
  { calls: 'write', error: 'ENOSPC' },
  { calls: 'write', error: 'EIO' },
  { calls: 'fdatasync', error: 'EIO' },
  { calls: 'fdatasync', error: 'ENOSPC' },
  { calls: 'fsync', error: 'EIO' },
  { calls: 'openat', error: 'EMFILE' },
  { calls: 'write,fdatasync,fsync,openat', error: 'EROFS' },
] as const

describe('a disk that fails', { timeout: 3_600_000, ...needsTracing() }, () => {
  let folder = ''
  let home = ''
  let node: NodeProcess | null = null
  const api = new ApiWriters({ seed, writers: 3 })

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nz-faults-'))
    home = join(folder, 'h')
    node = await startedDaemon(home)
    await api.write(clientOf(home), { stepLimit: STEPS })
  })

  after(async () => {
    await node?.kill()
    await rm(folder, { recursive: true, force: true })
  })

  for (const [at, { calls, error }] of FAULTS.entries()) {
    // Work of LevelDB's own that failed before may be told of by the next change.
    const errors = [error, ...FAULTS.slice(0, at).map((before) => before.error)]
    it(`${error} on ${calls}: refuses changes with a code and goes on by itself`, async (t) => {
      const client = clientOf(home)
      const store = join(homeOf({ env: { NZ_HOME: home } }).stateDir, 'store')
      let refusals = 0
      for (const first of FIRST_CALLS) {
        const where = `${error} on ${calls} from call ${first} on, seed ${seed}`
        const fault = await inject({ pid: node?.child.pid ?? 0, calls, error, first, store })
        try {
          refusals += await refusedChanges(api, client, errors, where)
        } finally {
          await fault.end()
        }
        await recovered(client, where)
        assert.equal(await api.settle(client), null, where)
      }
      t.diagnostic(`seed ${seed}: ${refusals} refusals, first calls ${FIRST_CALLS.join(', ')}`)
      assert.ok(refusals > 0)
    })
  }

  it('has everything acknowledged after a kill', async () => {
    await node?.kill()
    node = await startedDaemon(home)
    assert.equal(await api.settle(clientOf(home)), null)
  })
})

describe('a disk that is full', { timeout: 3_600_000, ...needsSmallDisk() }, () => {
  it('refuses changes with a code, goes on by itself when there is room, and has everything after a kill', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'nz-full-'))
    const home = join(folder, 'h')
    const api = new ApiWriters({ seed, writers: 3 })
    const mount = `mkdir -p "$NZ_HOME" && mount -t tmpfs -o size=${SMALL_DISK_MIB}m,mode=700 none "$NZ_HOME" && exec "$@"`
    let node = await startedDaemon(home, [...OWN_MOUNTS, 'sh', '-c', mount, 'sh'])
    try {
      // The disk is in the daemon's own view of the files alone.
      const inside = (path: string): string => `/proc/${node.child.pid}/root${path}`
      const client = createClient({ socketPath: inside(homeOf({ env: { NZ_HOME: home } }).socketPath) })
      let refusals = 0
      for (const room of ROOMS) {
        await api.write(client, { stepLimit: STEPS })
        const size = fill(inside(join(home, 'filler')))
        truncateSync(inside(join(home, 'filler')), Math.max(0, size - room))
        refusals += await refusedChanges(api, client, ['ENOSPC'], `${room} bytes of room, seed ${seed}`)
        truncateSync(inside(join(home, 'filler')), 0)
        await recovered(client, `${room} bytes of room`)
        assert.equal(await api.settle(client), null)
      }
      t.diagnostic(`seed ${seed}: ${refusals} refusals`)
      assert.ok(refusals >= ROOMS.length)
      node.child.kill('SIGSTOP')
      cpSync(inside(home), home, { recursive: true, filter: (path) => !path.endsWith('.sock') })
      await node.kill()
      node = await startedDaemon(home)
      assert.equal(await api.settle(clientOf(home)), null)
    } finally {
      await node.kill()
      await rm(folder, { recursive: true, force: true })
    }
  })
})

async function startedDaemon(home: string, wrap: readonly string[] = []): Promise<NodeProcess> {
  const node = NodeProcess.daemon([], { home, wrap })
  assert.match(await node.line(/./), /"state":"ready"/)
  return node
}

/** Writes until changes are refused, or until there is nothing more to write; how many were refused. */
async function refusedChanges(
  api: ApiWriters,
  client: NzClient,
  reasons: readonly string[],
  where: string,
): Promise<number> {
  const large = Array.from({ length: LARGE_VALUES }, (_, n) => ({
    key: `large/${n}`,
    value: 'x'.repeat(LARGE_VALUE_BYTES),
  }))
  const written = await api.write(client, { stepLimit: STEPS })
  const errors = written.filter((refused) => refused !== null)
  for (const { key, value } of large) {
    if (errors.length > 0) break
    await client.kvPut({ key, value, encoding: 'text' }).catch((refused: unknown) => errors.push(refused ?? 'nothing'))
  }
  for (const refused of errors) {
    assert.ok(isNzError(refused), `${where}: ${inspect(refused)}`)
    assert.deepEqual([refused.code, refused.status], ['NZ_STORAGE_READ_ONLY', 507], where)
  }
  if (errors.length === 0) return 0
  const { storage } = await client.storageStatus({})
  assert.deepEqual([storage.state, storage.code], ['readOnly', 'NZ_STORAGE_READ_ONLY'], `${where}: ${storage.why}`)
  const { why } = storage
  assert.ok(
    reasons.some((reason) => why?.includes(reason)),
    `${where}: ${why}`,
  )
  // What is there can be read meanwhile.
  assert.equal(await api.settleReadOnly(client), null, where)
  return errors.length
}

async function recovered(client: NzClient, where: string): Promise<void> {
  const limit = AbortSignal.timeout(RECOVERS_MS)
  for (;;) {
    const { storage } = await client.storageStatus({})
    if (storage.state === 'open') return
    assert.ok(!limit.aborted, `${where}: the store is ${storage.state}: ${storage.why}`)
    assert.notEqual(storage.state, 'safe', `${where}: ${storage.why}`)
    await pause(100)
  }
}

/** Writes zeros until the disk takes no more; how many. */
function fill(path: string): number {
  let size = 0
  for (let part = 1_048_576; part >= 512;) {
    try {
      writeFileSync(path, new Uint8Array(part), { flag: 'a', mode: 0o600 })
      size += part
    } catch {
      // Full, for parts of this size.
      part /= 4
    }
  }
  return size
}

function needsSmallDisk(): { readonly skip: false | string } {
  if (process.platform !== 'linux') return { skip: 'disks of memory are mounted on Linux alone' }
  const mount = [...OWN_MOUNTS, 'mount', '-t', 'tmpfs', '-o', 'size=1m', 'none', tmpdir()]
  const tried = spawnSync('env', mount, { encoding: 'utf8' })
  return { skip: tried.status === 0 ? false : `no disk can be mounted here: ${tried.stderr?.trim() ?? ''}` }
}
