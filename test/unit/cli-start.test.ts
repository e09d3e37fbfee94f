/** What a start of the command line loads. Counted, not timed: a library that creeps in shows on any machine. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'

const root = join(import.meta.dirname, '..', '..')
const run = promisify(execFile)

/** Packages loaded by `import(path)` in a fresh process, and how many modules of ours. */
async function loadedBy(paths: readonly string[]): Promise<{ packages: string[]; own: number }> {
  const script = `
    const { registerHooks } = require('node:module')
    const seen = new Set()
    registerHooks({ load(url, context, next) { seen.add(url); return next(url, context) } })
    Promise.all(${JSON.stringify(paths.map((path) => join(root, path)))}.map((path) => import(path))).then(() => {
      const urls = [...seen]
      const packages = urls.flatMap((url) => /.*\\/node_modules\\/((?:@[^/]+\\/)?[^/]+)\\//.exec(url)?.[1] ?? [])
      const own = urls.filter((url) => url.startsWith('file:') && !url.includes('/node_modules/')).length
      console.log(JSON.stringify({ packages: [...new Set(packages)].sort(), own }))
    })`
  const { stdout } = await run(process.execPath, ['-e', script])
  return JSON.parse(stdout)
}

/** Parts of Node that `nzcore` with `args` has loaded at its end. */
async function builtinsLoadedBy(...args: readonly string[]): Promise<ReadonlySet<string>> {
  const home = await mkdtemp(join(tmpdir(), 'nzs-'))
  try {
    const script = `
      process.on('exit', () => console.log('\\n' + JSON.stringify(process.moduleLoadList)))
      import(${JSON.stringify(join(root, 'cli/main.ts'))}).then(({ run }) => run())`
    const env = { ...process.env, NZ_HOME: home }
    // A command without a node fails, and has loaded what it needs to ask one.
    const { stdout } = await run(process.execPath, ['-e', script, 'nzcore', ...args], { env }).catch(
      (error: unknown) => error as { stdout: string },
    )
    const loaded = JSON.parse(stdout.slice(stdout.lastIndexOf('\n['))) as string[]
    return new Set(loaded.map((line) => line.replace(/^NativeModule /, '')))
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

describe('a start of the command line', () => {
  it('loads of Node no cryptography, and no fetch even to talk to the node', async () => {
    const asked = await builtinsLoadedBy('status')
    assert.ok(asked.has('http'))
    for (const name of ['internal/deps/undici/undici', 'crypto']) assert.ok(!asked.has(name), name)
    assert.ok(!(await builtinsLoadedBy('version')).has('http'))
  })

  it('loads the argument parser and no other package', async () => {
    const { packages, own } = await loadedBy(['cli/main.ts', 'cli/commands/about.ts'])
    assert.deepEqual(packages, ['commander'])
    assert.ok(own < 60, `${own} modules`)
  })

  it('that talks to the node loads no schemas either, whatever the command', async () => {
    const groups = globSync('cli/commands/*.ts', { cwd: root })
    const shown = ['cli/present.ts', 'cli/status-text.ts', 'cli/completion.ts', 'cli/start-daemon.ts']
    const { packages, own } = await loadedBy(['cli/main.ts', 'sdk/client.ts', ...groups, ...shown])
    assert.ok(groups.length > 10)
    assert.deepEqual(packages, ['commander'])
    assert.ok(own < 100, `${own} modules`)
  })

  it('of an application that connects loads no package', async () => {
    assert.deepEqual((await loadedBy(['sdk/index.ts'])).packages, [])
  })

  it('that reads the configuration loads no libp2p and nothing for tokens', async () => {
    const script = [
      'cli/main.ts',
      'cli/commands/config.ts',
      'cli/node.ts',
      'modules/network/index.ts',
      'modules/ipc/index.ts',
    ]
    const { packages } = await loadedBy(script)
    assert.deepEqual(
      packages.filter((name) => name === 'jose' || name === 'libp2p' || name.startsWith('@libp2p/')),
      [],
    )
  })
})
