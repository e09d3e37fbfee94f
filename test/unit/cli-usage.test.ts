/** What the command line says when it is used wrongly, and the small words people try first. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { errorCatalogue } from '../../cli/error-catalogue.ts'
import { networkConfig } from '../../modules/network/config.ts'
import { contract } from '../../protocols/ipc/contract.ts'
import { CALL_DEADLINE_MS, CALLER_DEADLINE_MS } from '../../protocols/ipc/limits.ts'
import { ipcErrors } from '../../protocols/ipc/errors.ts'
import { isProfileName } from '../../protocols/ipc/home.ts'
import { runCli } from '../fake/cli.ts'
import type { Endpoint } from '../../protocols/ipc/endpoint.ts'

/** Of the environment; they look like codes. */
const VARIABLES = ['NZ_PASSPHRASE_FD', 'NZ_PASSPHRASE_FILE', 'NZ_WORDS_FD', 'NZ_WORDS_FILE', 'NZ_MONOTONIC_MS']

it('the help says of every command and group of commands what it is for', async () => {
  const { stdout } = await runCli(['--help'])
  const listed = stdout.slice(stdout.indexOf('Commands:')).split('\n').slice(1)
  const names = listed.filter((line) => /^ {2}\S/.test(line))
  assert.ok(names.length > 30)
  for (const line of names) assert.match(line, /^ {2}\S+(?: [[<]\S+)* {2,}\S/, line)
})

describe('a mistake on the command line', () => {
  for (const [argv, help] of [
    [['ping'], 'nzcore ping --help'],
    [['--profile', 'x', 'config', 'set', 'a.b', '1', '2'], 'nzcore config set --help'],
    [['config', 'nothing'], 'nzcore config --help'],
    [['nothing'], 'nzcore --help'],
    [['completion', 'tcsh'], 'nzcore completion --help'],
  ] as const) {
    it(`points at the help of the command: ${argv.join(' ')}`, async () => {
      const { code, stderr } = await runCli(argv)
      assert.equal(code, 2)
      assert.match(stderr, new RegExp(`^  do: {2}${help}$`, 'm'))
    })
  }

  it('in parameters names them, and nothing of how errors are written down', async () => {
    const issues = [{ path: 'count', message: 'Too small' }]
    const client = {
      contactsRemove: async () =>
        await Promise.reject(ipcErrors.NZ_IPC_PARAMS_INVALID({ why: 'count', data: { issues } })),
    }
    const { code, stderr } = await runCli(['contacts', 'remove', 'desk'], { client })
    assert.equal(code, 2)
    assert.ok(!/object Object|data\./.test(stderr), stderr)
  })

  it('finds what other programs call help and version', async () => {
    assert.equal((await runCli(['help', 'ping'])).stdout, (await runCli(['ping', '--help'])).stdout)
    assert.match((await runCli(['help'])).stdout, /^Usage: nzcore/)
    for (const word of ['--version', '-V']) assert.match((await runCli([word])).stdout, /^nzcore \d+\.\d+\.\d+ /)
  })
})

describe('the command line', () => {
  it('explains every code that the source defines', async () => {
    const root = join(import.meta.dirname, '..', '..')
    const files = globSync('{cli,kernel,modules,protocols,sdk}/**/*.ts', { cwd: root })
    const texts = files
      .map((file) => readFileSync(join(root, file), 'utf8'))
      .filter((text) => text.includes('defineErrors({'))
    const codes = texts.flatMap((text) => [...text.matchAll(/^ {2}(NZ_[A-Z0-9_]+): /gm)].map(([, code = '']) => code))
    assert.ok(codes.includes('NZ_NOISE_UNAUTHENTIC') && codes.length > 100)
    for (const code of codes) assert.equal((await runCli(['explain', code])).code, 0, code)
  })

  it('explains every code that any source names', async () => {
    const root = join(import.meta.dirname, '..', '..')
    const files = globSync('{cli,kernel,modules,protocols,sdk}/**/*.ts', { cwd: root })
    const named = files.flatMap((file) => [
      ...readFileSync(join(root, file), 'utf8').matchAll(/(?<=['.])NZ_[A-Z]+_[A-Z0-9_]+(?=['(])/g),
    ])
    const codes = new Set(named.map(([code]) => code))
    for (const variable of VARIABLES) codes.delete(variable)
    assert.ok(codes.has('NZ_NAT_BOTH_SYMMETRIC') && codes.size > 200)
    const known = await errorCatalogue()
    assert.deepEqual(
      [...codes].filter((code) => !known.has(code)),
      [],
    )
  })

  it('ends the events it shows with the past when it is asked to', async () => {
    const asked: object[] = []
    const client = {
      async *eventsFollow(params: object) {
        asked.push(params)
        yield { kind: 'gap', cursor: 'b-0', reason: 'restart', missed: null }
        yield { kind: 'event', cursor: 'b-1', id: 1, atMs: 1, name: 'bell.rang', payload: {} }
      },
    }
    const { code, stdout } = await runCli(['events', '--no-follow'], { client })
    assert.deepEqual([code, stdout.split('\n').length], [0, 2])
    assert.match(stdout, /bell\.rang/)
    assert.deepEqual(asked, [{ after: '0-0', isFollowing: false }])
  })

  it('says that there are no tokens, and how to make one', async () => {
    const { stdout } = await runCli(['token', 'list'], { client: { tokensList: async () => ({ tokens: [] }) } })
    assert.match(stdout, /^no access tokens\nNext: nzcore token create/)
  })

  it('says what a reload leaves to a restart', async () => {
    const client = { configReload: async () => ({ reloaded: ['logs'], needRestart: ['network'] }) }
    const { stdout } = await runCli(['config', 'reload'], { client })
    assert.match(stdout, /^✔ taken over by logs\n! network: in force after a restart\nNext: nzcore down/)
  })

  it('says that the folders of a profile cannot be entered', async () => {
    const { code, stderr } = await runCli(['id'], { env: { NZ_HOME: import.meta.filename } })
    assert.equal(code, 4)
    assert.match(stderr, /NZ_CLI_HOME_UNREADABLE.*\n {2}why: ENOTDIR\n {2}do: {2}set HOME/)
  })

  it('refuses the name of the folder of sockets for a profile', async () => {
    assert.deepEqual(['run', 'Run', 'runs', 'default'].map(isProfileName), [false, false, true, true])
    const { code, stderr } = await runCli(['profile', 'create', 'run'])
    assert.equal(code, 2)
    assert.match(stderr, /not run/)
  })
})

describe('calls of the local API', () => {
  it('are over at the node before their caller stops waiting', () => {
    for (const [id, endpoint] of Object.entries<Endpoint>(contract)) {
      if (endpoint.kind === 'call') assert.ok((endpoint.deadlineMs ?? CALL_DEADLINE_MS) < CALLER_DEADLINE_MS, id)
    }
  })
})

describe('the addresses in the configuration', () => {
  it('are refused before a node is started with them', () => {
    const listens = (address: string): boolean => networkConfig.safeParse({ listen: [address] }).success
    for (const good of ['/ip4/0.0.0.0/tcp/4001', '/ip6/::/tcp/0/ws', '/dns4/localhost/tcp/4001'])
      assert.ok(listens(good), good)
    for (const bad of [
      'hello',
      '/ip4/0.0.0.0/tcp/99999',
      '/ip4/1.2.3/tcp/1',
      '/ip4/0.0.0.0/udp/4001',
      '/ip4/0.0.0.0',
    ]) {
      assert.ok(!listens(bad), bad)
    }
    assert.ok(!networkConfig.safeParse({ announce: ['desk:4001'] }).success)
    assert.ok(networkConfig.safeParse({ announce: ['/dns4/desk.example/tcp/4001'] }).success)
  })
})
