/** The example of docs/writing-a-module.md is a real module: taken out, type-checked and run. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'

const root = resolve(import.meta.dirname, '..', '..')
const run = promisify(execFile)

/** Blocks whose first line names the file they stand for. */
function filesOf(markdown: string): ReadonlyMap<string, string> {
  const blocks = [...markdown.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code)
  return new Map(
    blocks.map((code) => {
      const path = /^\/\/ ([\w/-]+(?:\.test)?\.ts)\n/.exec(code)?.[1]
      assert.ok(path !== undefined, `a block names no file:\n${code}`)
      return [path, code]
    }),
  )
}

describe('docs/writing-a-module.md', () => {
  let folder = ''
  let files: ReadonlyMap<string, string> = new Map()

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nz-docs-'))
    files = filesOf(await readFile(join(root, 'docs/writing-a-module.md'), 'utf8'))
    for (const name of ['modules', 'test']) await mkdir(join(folder, name))
    for (const name of ['kernel', 'node_modules', 'protocols', 'modules/home', 'modules/storage', 'test/fake']) {
      await symlink(join(root, name), join(folder, name))
    }
    const options = { rootDir: '/', types: ['node'], typeRoots: [join(root, 'node_modules/@types')] }
    const config = { extends: join(root, 'tsconfig.json'), compilerOptions: options, files: [...files.keys()] }
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config))
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
    for (const [path, code] of files) {
      await mkdir(dirname(join(folder, path)), { recursive: true })
      await writeFile(join(folder, path), code)
    }
  })

  after(async () => await rm(folder, { recursive: true, force: true }))

  it('shows a whole module with its test', () => {
    assert.deepEqual(
      [...files.keys()],
      [
        'modules/reminders/service.ts',
        'modules/reminders/reminder-queue.ts',
        'modules/reminders/index.ts',
        'test/unit/reminders.test.ts',
        'modules/reminders/kept-reminders.ts',
        'test/unit/kept-reminders.test.ts',
      ],
    )
  })

  it('type-checks', async () => {
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    await run(process.execPath, [tsc, '-p', folder]).catch(({ stdout }: { stdout: string }) => assert.fail(stdout))
  })

  it('passes its own tests', async () => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env
    const names = [...files.keys()].filter((name) => name.endsWith('.test.ts'))
    const { stdout } = await run(process.execPath, ['--test', '--test-reporter=tap', ...names], { cwd: folder, env })
    assert.match(stdout, /^# pass 3$/m)
    assert.match(stdout, /^# fail 0$/m)
  })
})
