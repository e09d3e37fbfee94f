/** The daemon as people meet it: real processes, started and stopped through the command line. Needs a build. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { documents } from '../../cli/documents/index.ts'
import { contract } from '../../protocols/ipc/contract.ts'

const launcher = join(import.meta.dirname, '..', '..', 'cli', 'nzcore.js')
let home: string

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function start(args: readonly string[], env: Record<string, string> = {}) {
  const { NZ_PROFILE: _, NZ_PASSPHRASE_FD: __, NZ_PASSPHRASE_FILE: ___, ...inherited } = process.env
  return spawn(process.execPath, [launcher, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...inherited, HOME: home, NZ_HOME: home, ...env },
    // One that never ends would outlive the test.
    timeout: 240_000,
    killSignal: 'SIGKILL',
  })
}

async function nzcore(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const child = start(args, env)
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  const [code] = await once(child, 'close')
  return { code, stdout, stderr }
}

/** The one document on stdout, checked against its published schema. */
async function json(args: readonly string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await nzcore([...args, '--json'], env)
  assert.equal(stderr, '')
  const { schema, ...document } = JSON.parse(stdout)
  const published = Object.values(contract).find(({ schemaName }) => schemaName === schema)?.result
  const own = Object.entries(documents).find(([name]) => name === schema)?.[1]
  const found = own ?? published
  assert.ok(found !== undefined, `no schema for ${schema}`)
  const checked = await found['~standard'].validate(document)
  assert.equal(checked.issues, undefined, JSON.stringify(checked.issues))
  return { code, schema, document }
}

function withHome(): void {
  before(() => {
    home = mkdtempSync(join(tmpdir(), 'nzc-'))
    writeFileSync(join(home, 'config.toml'), '[network]\nlisten = ["/ip4/127.0.0.1/tcp/0"]\n', { mode: 0o600 })
  })
  after(async () => {
    for (const profile of ['default', 'work', 'locked']) await nzcore(['--profile', profile, 'down'])
    rmSync(home, { recursive: true, force: true })
  })
}

describe('a daemon that hangs', { timeout: 300_000, skip: process.platform === 'win32' }, () => {
  withHome()

  it('is ended by down --force, and only then', async () => {
    assert.equal((await nzcore(['down', '--force'])).stdout, '✔ not running\n')
    await nzcore(['up'])
    const { pid } = (await json(['status'])).document
    process.kill(pid, 'SIGSTOP')
    const asked = await nzcore(['down'])
    assert.equal(asked.code, 6)
    assert.match(asked.stderr, /nzcore down --force/)
    assert.equal((await nzcore(['down', '--force'])).stdout, `✔ stopped  pid ${pid}\n`)
    assert.equal((await nzcore(['status'])).code, 3)
    assert.equal((await nzcore(['up'])).code, 0)
  })
})

describe('a daemon', { timeout: 300_000 }, () => {
  withHome()

  it('is not running at first', async () => {
    assert.equal((await nzcore(['status'])).code, 3)
    const { code, document } = await json(['status'])
    assert.deepEqual([code, document.code], [3, 'NZ_IPC_NOT_RUNNING'])
    assert.equal((await nzcore(['down'])).code, 0)
  })

  it('starts in the background, and its first screen says what is', async () => {
    const { code, stdout, stderr } = await nzcore(['up'])
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^✔ identity created {2}nz1\w+…\w{4} {2}\(.+, 0600, encrypted by a key file\)$/m)
    assert.match(stdout, /^✔ daemon running {4}pid \d+, ready in \d\.\d\d s, \d+ MB$/m)
    assert.match(stdout, /^✔ listening {9}tcp \d+$/m)
    assert.match(stdout, /^! recovery {10}not backed up → nzcore .+\nNext: nzcore invite\n$/m)
  })

  it('goes on when it is started again', async () => {
    const { document } = await json(['up'])
    assert.equal(document.isNew, false)
    const status = await json(['status'])
    assert.deepEqual([status.code, status.document.pid], [0, document.pid])
    assert.match((await nzcore(['status'])).stdout, /^up \d+s {2}health OK {2}0 connected/)
  })

  it('keeps a second one out of its profile', async () => {
    const { code, stderr } = await nzcore(['up', '--foreground'])
    assert.equal(code, 10)
    assert.match(stderr, /NZ_HOME_LOCKED/)
  })

  it('answers every question in its published form', async () => {
    for (const command of [
      'version',
      'profile show',
      'profile list',
      'config show',
      'config check',
      'config diff',
      'config running',
      'logs',
      'contacts',
      'token list',
      'wait',
      'explain NZ_HOME_LOCKED',
      'completion bash',
    ]) {
      const { code } = await json(command.split(' '))
      assert.equal(code, 0, command)
    }
  })

  it('shows its log and its past events', async () => {
    assert.match((await nzcore(['logs', '-n', '100'])).stdout, /daemon\.ready {2}readyMs=\d+/)
    const { stdout } = await nzcore(['events', '--since', '10m', '--name', 'kernel', '-n', '1'])
    assert.match(stdout, /kernel\./)
  })

  it('lets an interrupt end what follows it, with code 130', async () => {
    const child = start(['logs', '--follow'])
    await once(child.stdout, 'data')
    child.kill('SIGINT')
    assert.deepEqual(await once(child, 'exit'), [130, null])
  })

  it('survives a reader that goes away', async () => {
    const child = start(['logs', '--follow'])
    await once(child.stdout, 'data')
    child.stdout.destroy()
    const { document } = await json(['status'])
    const ended = once(child, 'exit')
    // Each makes a record; the first one that cannot be written ends the reader.
    while (child.exitCode === null) {
      process.kill(document.pid, 'SIGHUP')
      await Promise.race([ended, setTimeout(50)])
    }
    assert.equal(child.exitCode, 0)
  })

  it('takes a changed configuration over on SIGHUP and through the API, and shows what needs a restart', async () => {
    const { document } = await json(['config', 'diff'])
    assert.deepEqual(document.differing, [])
    await nzcore(['config', 'set', 'logs.level', 'debug'])
    assert.equal((await json(['config', 'diff'])).document.differing[0].path, 'logs.level')
    process.kill((await json(['status'])).document.pid, 'SIGHUP')
    for (let tries = 0; (await json(['config', 'diff'])).document.differing.length > 0; tries += 1)
      assert.ok(tries < 50)
  })

  it('completes the names of commands and keys in bash', async () => {
    const script = `
      nzcore() { '${process.execPath}' '${launcher}' "$@"; }
      eval "$(nzcore completion bash)"
      COMP_WORDS=(nzcore config se); COMP_CWORD=2; _nzcore; echo "\${COMPREPLY[*]}"
      COMP_WORDS=(nzcore config explain logs.l); COMP_CWORD=3; _nzcore; echo "\${COMPREPLY[*]}"`
    const child = spawn('bash', ['-c', script], {
      env: { ...process.env, NZ_HOME: home },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const chunks: Buffer[] = []
    for await (const chunk of child.stdout) chunks.push(chunk)
    assert.equal(Buffer.concat(chunks).toString(), 'set\nlogs.level\n')
  })

  it('leaves its files to its owner alone', () => {
    for (const path of ['state/default', 'state/default/log', 'run'])
      assert.equal(statSync(join(home, path)).mode & 0o077, 0, path)
    for (const path of ['state/default/log/nzcore.log', 'run/default.sock', 'config.toml']) {
      assert.equal(statSync(join(home, path)).mode & 0o077, 0, path)
    }
  })

  it('runs beside the one of another profile', async () => {
    const work = await json(['--profile', 'work', 'up'])
    const { document } = await json(['status'])
    assert.equal(work.document.isNewIdentity, true)
    assert.notEqual(work.document.id, document.id)
    assert.notEqual(work.document.pid, document.pid)
    assert.equal((await nzcore(['--profile', 'work', 'down'])).code, 0)
    assert.equal((await nzcore(['status'])).code, 0)
  })

  it('has ended when down returns, and is the same node afterwards', async () => {
    const { document: before } = await json(['status'])
    const { document } = await json(['down'])
    assert.deepEqual(document, { wasRunning: true, pid: before.pid })
    assert.throws(() => process.kill(before.pid, 0))
    assert.ok(!existsSync(join(home, 'run', 'default.sock')))
    assert.match((await nzcore(['logs'])).stdout, /daemon\.stopped/)
    const again = await json(['up'])
    assert.deepEqual([again.document.id, again.document.isNewIdentity], [before.id, false])
  })
})

describe('a daemon that cannot start says why', { timeout: 300_000 }, () => {
  withHome()

  it('when the configuration is no TOML', async () => {
    const file = join(home, 'config.toml')
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, '[network]\nlisten = [\n')
    for (const command of [['up'], ['config', 'check'], ['up', '--foreground']]) {
      const { code, stderr } = await nzcore(command)
      assert.equal(code, 2)
      assert.match(stderr, /NZ_CONFIG_SYNTAX\)\n {2}why: line \d+, column \d+/)
    }
    writeFileSync(file, text)
  })

  it('when a key is unknown', async () => {
    const { code, document } = await json(['up', '--set', 'network.lisen=/ip4/127.0.0.1/tcp/0'])
    assert.equal(code, 2)
    assert.match(document.why, /did you mean network\.listen\?/)
  })

  it('when the passphrase is wrong or missing, without ever asking on no terminal', async () => {
    const file = join(home, 'passphrase')
    writeFileSync(file, 'correct horse battery\n', { mode: 0o600 })
    const locked = (env: Record<string, string>) => nzcore(['--profile', 'locked', 'up'], env)
    assert.equal((await locked({ NZ_PASSPHRASE_FILE: file })).code, 0)
    assert.equal((await nzcore(['--profile', 'locked', 'down'])).code, 0)
    const missing = await locked({})
    assert.deepEqual([missing.code, missing.stdout], [4, ''])
    assert.match(missing.stderr, /NZ_IDENTITY_PASSPHRASE_MISSING/)
    writeFileSync(file, 'wrong horse battery\n', { mode: 0o600 })
    const wrong = await locked({ NZ_PASSPHRASE_FILE: file })
    assert.match(wrong.stderr, /NZ_IDENTITY_PASSPHRASE_WRONG/)
    assert.notEqual(wrong.code, 0)
  })

  it('when its folder is open to others or no folder', async () => {
    mkdirSync(join(home, 'state'), { recursive: true })
    writeFileSync(join(home, 'state', 'broken'), '')
    const { code, stderr } = await nzcore(['--profile', 'broken', 'up'])
    assert.notEqual(code, 0)
    assert.match(stderr, /^✖ .+\(NZ_\w+\)/)
  })

  it('when its folder cannot be made; below /proc, where whoever makes folders by recursion never ends, too', async (t) => {
    if (process.platform !== 'linux') return t.skip('there is no /proc')
    const nowhere = { NZ_HOME: '/proc/nzcore/home' }
    const version = await nzcore(['version'], nowhere)
    assert.deepEqual([version.code, version.stderr], [0, ''])
    const { code, stdout, stderr } = await nzcore(['up'], nowhere)
    assert.deepEqual([code, stdout], [4, ''])
    assert.match(stderr, /NZ_CLI_HOME_UNWRITABLE/)
  })
})

describe('a node in the foreground', { timeout: 300_000 }, () => {
  withHome()

  it('logs to stderr, and ends with 0 on SIGTERM', async () => {
    const child = start(['up', '--foreground'])
    let stderr = ''
    const { promise: isReady, resolve } = Promise.withResolvers<void>()
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk
      if (stderr.includes('daemon.ready')) resolve()
    })
    await isReady
    // The flags of a node are its own doing, under the id that a supervisor knows.
    const { document } = await json(['status'])
    assert.equal(document.pid, child.pid)
    if (process.platform === 'linux') {
      assert.match(readFileSync(`/proc/${child.pid}/cmdline`, 'utf8'), /--max-semi-space-size=1/)
    }
    child.kill('SIGTERM')
    assert.deepEqual(await once(child, 'exit'), [0, null])
    assert.match(stderr, /daemon\.stopped/)
  })
})
