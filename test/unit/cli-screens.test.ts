/** What the command line shows, letter by letter, over a client made up by the test. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { candidatesFor } from '../../cli/completion.ts'
import { buildCommandTable } from '../../cli/command-table.ts'
import { commandGroups } from '../../cli/commands/index.ts'
import { errorCatalogue } from '../../cli/error-catalogue.ts'
import { statusText, upText } from '../../cli/status-text.ts'
import { parseDuration } from '../../cli/text.ts'
import { contract } from '../../protocols/ipc/contract.ts'
import { runCli } from '../fake/cli.ts'
import type { CliContext } from '../../cli/command.ts'
import type { NodeStatus } from '../../cli/status-text.ts'

const nowMs = 1_700_000_000_000
const id = 'nz1q7k4vwwwwwwwwwwwwwwwwwwwwwwm3p9'

const peer: NodeStatus['peers'][number] = {
  peerId: '12D3KooWPeer',
  name: 'laptop',
  id: 'nz1rr2xxaaaaaaaaaaaaaaaaaaaaaaaae5ab',
  state: 'connected',
  isKept: true,
  transport: 'tcp',
  via: null,
  direction: 'outbound',
  backend: 'typescript',
  address: '/ip4/203.0.113.4/tcp/4001',
  rttMs: 22.9,
  txBytes: 1_200,
  rxBytes: 3_400,
  connectedAtMs: nowMs - 60_000,
}

const module: NodeStatus['modules'][number] = {
  name: 'network',
  state: 'running',
  sinceMs: nowMs,
  health: 'healthy',
  code: null,
  why: null,
  restarts: 0,
  restartAtMs: null,
}

const status = {
  profile: 'default',
  pid: 4121,
  state: 'running',
  uptimeMs: 120_000,
  id,
  addresses: ['/ip4/127.0.0.1/tcp/4001/p2p/x', '/ip4/127.0.0.1/tcp/4002/ws/p2p/x'],
  memoryBytes: 98_000_000,
  cpuPercent: 0.4,
  bufferedBytes: 0,
  bufferBudgetBytes: 64_000_000,
  limits: { connectionsRefused: {}, handshakesEvicted: 0, streamsRefused: {} },
  connected: 1,
  contacts: 2,
  backend: { asked: 'off', backend: 'typescript', code: 'off', reason: 'the native stack is switched off' },
  reachability: { verdict: 'unknown', why: 'all addresses are private' },
  peers: [peer],
  modules: [module],
} as unknown as NodeStatus

describe('status', () => {
  it('shows the node in one line and each peer in one', () => {
    assert.equal(
      statusText(status, { isFull: false, nowMs }),
      [
        'up 2m  health OK  1 connected · 2 contacts · memory 98 MB · buffers 0 B/64 MB · cpu 0.4 %',
        'NAME    ID             PATH        RTT    TX/RX      SINCE',
        'laptop  nz1rr2xx…e5ab  direct tcp  23 ms  1.2k/3.4k  1m',
      ].join('\n'),
    )
  })

  it('says in full what limits kept out', () => {
    const limits = {
      connectionsRefused: { full: 2, 'handshake-rate': 10 },
      handshakesEvicted: 3,
      streamsRefused: { 'protocol-full': 64 },
    }
    const line =
      'limits kept out: 12 connections (full 2, handshake-rate 10) · 3 handshakes for newer ones · 64 streams (protocol-full 64)'
    assert.ok(
      statusText({ ...status, limits }, { isFull: true, nowMs })
        .split('\n')
        .includes(line),
    )
    assert.doesNotMatch(statusText(status, { isFull: true, nowMs }), /limits/)
    assert.doesNotMatch(statusText({ ...status, limits }, { isFull: false, nowMs }), /limits/)
  })

  it('names what is not well, and exits with 9', async () => {
    const ill = { ...module, name: 'ipc', state: 'failed', code: 'NZ_IPC_SOCKET_TAKEN', why: 'a\u001bb', restarts: 3 }
    const client = { nodeStatus: async () => ({ ...status, state: 'degraded', peers: [], modules: [module, ill] }) }
    const { code, stdout } = await runCli(['status'], { client })
    assert.equal(code, 9)
    const [head, line, ...rest] = stdout.split('\n')
    assert.match(head ?? '', /health DEGRADED/)
    assert.equal(line, '! ipc          failed  NZ_IPC_SOCKET_TAKEN · a\\u{1b}b · 3 restarts')
    assert.deepEqual(rest, [''])
  })

  it('exits with 3 when no node runs', async () => {
    const { code, stderr } = await runCli(['status'])
    assert.equal(code, 3)
    assert.match(stderr, /^✖ no node runs for this profile \(NZ_IPC_NOT_RUNNING\)\n {2}do: {2}nzcore up\n$/)
  })
})

describe('the first screen', () => {
  const facts = {
    isNew: true,
    isNewIdentity: true,
    readyMs: 380,
    pid: 4121,
    profile: 'default',
    id,
    protection: 'key-file',
    isBackedUp: false,
    stateDir: '/u/.local/state/nzcore/default',
    addresses: status.addresses,
    memoryBytes: 94_000_000,
  } as const

  it('says what was made, what runs and what is left to do', () => {
    assert.equal(
      upText(facts, '/u'),
      [
        '✔ identity created  nz1q7k4v…m3p9  (~/.local/state/nzcore/default, 0600, encrypted by a key file)',
        '✔ daemon running    pid 4121, ready in 0.38 s, 94 MB',
        '✔ listening         tcp 4001 · ws 4002',
        '! recovery          not backed up → nzcore identity phrase',
        'Next: nzcore invite',
      ].join('\n'),
    )
  })

  it('claims nothing that is not so', () => {
    const again = { ...facts, isNew: false, isNewIdentity: false, readyMs: null, isBackedUp: true, addresses: [] }
    assert.equal(
      upText({ ...again, protection: 'passphrase' }, null),
      [
        '✔ identity          nz1q7k4v…m3p9  (/u/.local/state/nzcore/default, 0600, encrypted by a passphrase)',
        '✔ already running   pid 4121, 94 MB',
        '! not listening     no peer can reach this node → nzcore doctor',
        'Next: nzcore invite',
      ].join('\n'),
    )
  })
})

describe('completion', () => {
  const complete = async (...words: string[]): Promise<string[]> => {
    const client = {
      contactsList: async () => ({
        contacts: [
          { name: 'desk', id: 'nz1d' },
          { name: 'a b', id: 'nz1ab' },
        ],
      }),
    }
    const context = { client: async () => client, signal: new AbortController().signal } as unknown as CliContext
    const table = await buildCommandTable(contract, commandGroups)
    return (await candidatesFor(words, { table, context })).map(({ value }) => value)
  }

  it('offers commands, options and what an option does not take', async () => {
    assert.deepEqual(await complete('conf'), ['config'])
    assert.deepEqual(await complete('--profile', 'work', 'config', 'ex'), ['explain'])
    assert.deepEqual(await complete('status', '--f'), ['--full'])
    assert.deepEqual(await complete('--profile', ''), [])
    assert.ok(!(await complete('')).some((value) => value.startsWith('__')))
  })

  it('offers peers by name, and by id where a shell would break the name', async () => {
    assert.deepEqual(await complete('ping', ''), ['desk', 'nz1ab'])
  })

  it('ends quietly when the node does not answer', async () => {
    const { stdout, stderr } = await runCli(['__complete', 'ping', ''])
    assert.deepEqual({ stdout, stderr }, { stdout: '', stderr: '' })
  })
})

it('durations are read as they are written', () => {
  const read = ['30s', '10m', '1h30m', '500ms', '2.5s', '45'].map(parseDuration)
  assert.deepEqual(read, [30_000, 600_000, 5_400_000, 500, 2_500, 45_000])
  for (const wrong of ['', 'ten', '5x', '-3s', '99999999999d']) {
    assert.equal(parseDuration(wrong), null, wrong)
  }
})

it('every code that a module or the API defines can be explained', async () => {
  const root = join(import.meta.dirname, '..', '..')
  const known = await errorCatalogue()
  const missing = globSync(
    ['modules/*/service.ts', 'protocols/ipc/errors.ts', 'kernel/catalogue.ts', 'cli/errors.ts'],
    { cwd: root },
  )
    .flatMap((file) => [...readFileSync(join(root, file), 'utf8').matchAll(/^ {2}(NZ_[A-Z0-9_]+): /gm)])
    .flatMap(([, code]) => (code === undefined || known.has(code) ? [] : [code]))
  assert.deepEqual(missing, [])
})
