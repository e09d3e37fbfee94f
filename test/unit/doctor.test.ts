/** What `nzcore doctor` finds: modules/doctor. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { z } from 'zod'
import { resolveConfig, systemClock } from '../../kernel/index.ts'
import type { Clock, ModuleStatus, ResolvedConfig } from '../../kernel/index.ts'
import { configErrors } from '../../modules/config/service.ts'
import { examine } from '../../modules/doctor/index.ts'
import type { Subject } from '../../modules/doctor/index.ts'
import { unknownReach } from '../../modules/network/service.ts'
import type { BackendChoice, Reachability } from '../../modules/network/service.ts'
import type { Finding } from '../../modules/doctor/service.ts'
import { homeOf } from '../../protocols/ipc/home.ts'
import type { Home } from '../../protocols/ipc/home.ts'

const signal = new AbortController().signal

function configOf(listen: readonly string[]): ResolvedConfig {
  const network = z.strictObject({ listen: z.array(z.string()) })
  return resolveConfig({
    modules: [{ name: 'network', config: network }],
    layers: [{ origin: 'file', values: { network: { listen } } }],
  })
}

const runs: ModuleStatus = {
  name: 'network',
  state: 'running',
  sinceMs: 0,
  health: { state: 'healthy' },
  restarts: 0,
  lastErrorCode: null,
  restartAtMs: null,
  requires: [],
}

describe('the doctor', () => {
  let dir = ''
  let home: Home
  let subject: Subject
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nz-doctor-'))
    home = homeOf({ env: { NZ_HOME: dir } })
    subject = {
      home,
      clock: systemClock,
      readConfig: async () => configOf([]),
      readIdentity: async () => null,
      readBackend: async () => ({ asked: 'auto', backend: 'io_uring', code: null, reason: null }),
      node: null,
    }
  })
  afterEach(async () => await rm(dir, { recursive: true }))

  const find = async (check: string, changed: Partial<Subject> = {}): Promise<Finding> => {
    const { findings } = await examine({ ...subject, ...changed }, { signal })
    const found = findings.find((finding) => finding.check === check)
    assert.ok(found !== undefined, `no finding ${check} in ${findings.map((finding) => finding.check).join(', ')}`)
    return found
  }

  it('says which stack TCP connections get, and what to do where it is not the fastest', async () => {
    const of = async (choice: Partial<BackendChoice>): Promise<Finding> =>
      await find('network.backend', {
        readBackend: async () => ({ asked: 'auto', backend: 'typescript', code: null, reason: null, ...choice }),
      })
    assert.deepEqual(
      [(await of({ backend: 'io_uring' })).state, (await of({ code: 'off', asked: 'off' })).state],
      ['ok', 'ok'],
    )
    const epoll = await of({ backend: 'epoll', reason: 'io_uring is not allowed here' })
    assert.deepEqual(
      [epoll.state, epoll.what],
      ['ok', 'TCP connections run on the native stack with epoll: io_uring is not allowed here'],
    )
    for (const code of ['not-built', 'not-loadable', 'refused-by-system'] as const) {
      const { state, fix } = await of({ code, reason: 'because' })
      assert.deepEqual([state, fix.at(-1)], ['warn', 'nzcore config set network.native off'])
      assert.ok(fix.length > 1)
    }
    assert.equal((await of({ asked: 'stock', backend: 'libp2p', code: 'off' })).state, 'warn')
  })

  it('finds nothing wrong with a machine on which nzcore never ran', async () => {
    const { state, isNodeRunning, findings } = await examine(subject, { signal })
    assert.equal(isNodeRunning, false)
    assert.notEqual(state, 'fail')
    for (const check of ['runtime.node', 'home.state', 'home.key', 'config', 'identity', 'api.socket']) {
      assert.equal(findings.find((finding) => finding.check === check)?.state, 'ok', check)
    }
    assert.ok(findings.every(({ state: each, fix }) => (each === 'ok') === (fix.length === 0)))
  })

  it('finds a state folder and a key file that others may read, and says what to type', async () => {
    await mkdir(home.stateDir, { recursive: true })
    await chmod(home.stateDir, 0o755)
    await mkdir(dirname(home.keyFile), { recursive: true })
    await writeFile(home.keyFile, 'key', { mode: 0o644 })
    const { state, findings } = await examine(subject, { signal })
    assert.equal(state, 'fail')
    for (const [check, path] of [
      ['home.state', home.stateDir],
      ['home.key', home.keyFile],
    ]) {
      const finding = findings.find((each) => each.check === check)
      assert.deepEqual([finding?.state, finding?.fix], ['fail', [`chmod go-rwx ${path}`]])
    }
  })

  it('finds a state file that is damaged, and leaves it as it is', async () => {
    await mkdir(home.stateDir, { recursive: true, mode: 0o700 })
    await writeFile(join(home.stateDir, 'forwards.json'), '{}')
    assert.equal((await find('home.files')).state, 'ok')
    const path = join(home.stateDir, 'contacts.json')
    await writeFile(path, '{')
    const { state, what, fix } = await find('home.files')
    assert.equal(state, 'fail')
    assert.match(what, /^contacts\.json is damaged/)
    assert.deepEqual(fix, [`restore ${path} from a backup`])
    assert.equal(await readFile(path, 'utf8'), '{')
  })

  it('says what to type with the facts of the error in it', async () => {
    const readConfig = async (): Promise<ResolvedConfig> =>
      await Promise.reject(configErrors.NZ_CONFIG_SYNTAX({ data: { line: 3, path: '/etc/x.toml' } }))
    assert.equal((await find('config', { readConfig })).fix[0], 'correct line 3 of /etc/x.toml')
  })

  it('tells what is wrong with the configuration and with the identity', async () => {
    const readConfig = async (): Promise<ResolvedConfig> =>
      resolveConfig({ modules: [], layers: [{ origin: 'file', values: { netwrok: {} } }] })
    const config = await find('config', { readConfig })
    assert.equal(config.state, 'fail')
    assert.ok(config.fix.length > 0)
    const facts = {
      self: { id: 'nz1abc' } as never,
      protection: 'key-file' as const,
      createdAtMs: 0,
      isBackedUp: false,
    }
    assert.equal((await find('identity.backup', { readIdentity: async () => facts })).state, 'warn')
    const saved = await find('identity.backup', { readIdentity: async () => ({ ...facts, isBackedUp: true }) })
    assert.equal(saved.state, 'ok')
  })

  it('tells a socket that answers from one that was left behind', async () => {
    await mkdir(dirname(home.socketPath), { recursive: true })
    const server = createServer((socket) => socket.destroy()).listen(home.socketPath)
    await once(server, 'listening')
    assert.match((await find('api.socket')).what, /answers/)
    server.close()
    await once(server, 'close')
    await writeFile(home.socketPath, '')
    assert.equal((await find('api.socket')).state, 'warn')
  })

  it('names the process that uses a port', { skip: process.platform !== 'linux' }, async () => {
    const server = createServer().listen(0)
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const readConfig = async (): Promise<ResolvedConfig> => configOf([`/ip4/0.0.0.0/tcp/${port}`])
    const used = await find('ports', { readConfig })
    assert.equal(used.state, 'warn')
    assert.match(used.what, new RegExp(`port ${port} is used by .+\\(${process.pid}\\)`))
    server.close()
    await once(server, 'close')
    assert.match((await find('ports', { readConfig })).what, /is free/)
  })

  it('notices a clock that went back and one that was never set', async () => {
    await mkdir(home.stateDir, { recursive: true, mode: 0o700 })
    await writeFile(join(home.stateDir, 'a'), '')
    assert.equal((await find('runtime.clock')).state, 'ok')
    const tomorrow = systemClock.nowMs() / 1_000 + 86_400
    await utimes(join(home.stateDir, 'a'), tomorrow, tomorrow)
    assert.equal((await find('runtime.clock')).state, 'warn')
    assert.equal((await find('runtime.clock', { clock: { ...systemClock, nowMs: () => 0 } })).state, 'fail')
  })

  it('tells how peers reach the running node, and which relays give no place', async () => {
    const withReach = (reach: Partial<Reachability>): Partial<Subject> => ({
      node: {
        modules: () => [],
        addresses: () => [],
        reachability: () => ({ ...unknownReach('because'), ...reach }),
      },
    })
    const relay = {
      peerId: 'R',
      isConfigured: true,
      expiresAtMs: null,
      circuitSeconds: null,
      circuitBytes: null,
    } as const
    for (const [verdict, state] of [
      ['direct', 'ok'],
      ['punchable', 'ok'],
      ['unknown', 'ok'],
      ['unreachable', 'warn'],
    ] as const)
      assert.equal((await find('network.reachability', withReach({ verdict }))).state, state, verdict)
    const relayed = { verdict: 'relayed', mapping: 'endpoint-independent' } as const
    assert.equal((await find('network.reachability', withReach({ ...relayed, canPunch: false }))).state, 'warn')
    assert.equal((await find('network.reachability', withReach({ ...relayed, canPunch: true }))).state, 'ok')
    const refused = { ...relay, state: 'refused', code: 'NZ_NETWORK_RELAY_REFUSED' } as const
    assert.match((await find('network.relays', withReach({ relays: [refused] }))).what, /NZ_NETWORK_RELAY_REFUSED/)
  })

  it('tells how the modules of the running node are', async () => {
    const withModules = (...modules: readonly ModuleStatus[]): Partial<Subject> => ({
      node: {
        modules: () => modules,
        addresses: () => ['/ip4/127.0.0.1/tcp/1'],
        reachability: () => unknownReach('nobody has said anything'),
      },
    })
    assert.equal((await find('modules', withModules(runs))).state, 'ok')
    const health = { state: 'degraded', code: 'NZ_NETWORK_UNREACHABLE', why: 'no peer answers' } as const
    assert.match((await find('modules.network', withModules({ ...runs, health }))).what, /degraded: no peer answers/)
    assert.equal((await find('modules.network', withModules({ ...runs, state: 'failed', restarts: 5 }))).state, 'fail')
    assert.equal((await find('modules.network', withModules({ ...runs, restarts: 1 }))).state, 'warn')
  })

  it('goes on when a check fails itself or never answers', async () => {
    const broken = await find('identity', {
      readIdentity: async () => {
        throw new Error('disk on fire')
      },
    })
    assert.match(broken.what, /disk on fire/)
    const hasty: Clock = {
      ...systemClock,
      setTimer: (_delayMs, callback, options) => systemClock.setTimer(50, callback, options),
    }
    const stuck = await find('identity', { readIdentity: () => new Promise(() => {}), clock: hasty })
    assert.match(stuck.what, /no answer within 5 s/)
  })

  it('stops when it is told to', async () => {
    await assert.rejects(examine(subject, { signal: AbortSignal.abort(new Error('enough')) }), /enough/)
  })
})
