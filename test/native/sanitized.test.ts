/**
 * The native session inside Node under the address and undefined-behaviour sanitizers: the addon is built with them into
 * a copy of the project, and tests that use it from all sides run there with the sanitizer loaded first.
 *
 * ThreadSanitizer is no use there: Node is not built with it, so it takes hundreds of V8's own doings for races and sees
 * none of the atomics of JS, which order the command ring. What the two threads share is checked in cpp.test.ts.
 *
 * NZ_FULL: more of the integration tests.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { describe, it } from 'node:test'
import { run, Toolchain } from './toolchain.ts'

const root = resolve(import.meta.dirname, '../..')
const isFull = process.env['NZ_FULL'] !== undefined
const FOLDERS = ['kernel', 'modules', 'protocols', 'native', 'cli', 'sdk', 'spec', 'test']
const TESTS = ['test/interop/native.test.ts', 'test/native/kept.test.ts', 'test/native/attacks.test.ts']
const MORE_TESTS = [
  'test/native/lifecycle.test.ts',
  'test/interop/matrix.test.ts',
  'test/integration/network.test.ts',
  'test/integration/network-streams.test.ts',
  'test/compliance/native-muxer.test.ts',
]

const found = await Toolchain.find()
const runtime = typeof found === 'string' ? found : runtimeOf(found.compiler)
const skip = typeof found === 'string' ? found : isAbsolute(runtime) ? false : `no shared libasan: ${runtime}`

describe('the native session inside Node', { skip }, () => {
  if (typeof found === 'string') return

  it('does nothing undefined with memory that is not its own', { timeout: isFull ? 1_800_000 : 500_000 }, async (t) => {
    await using toolchain = found
    const copy = mkdtempSync(join(tmpdir(), 'nz-sanitized-'))
    try {
      const isWanted = (path: string): boolean => !path.startsWith(join(root, 'native/build'))
      for (const folder of FOLDERS)
        cpSync(join(root, folder), join(copy, folder), { recursive: true, filter: isWanted })
      cpSync(join(root, 'package.json'), join(copy, 'package.json'))
      symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
      mkdirSync(join(copy, 'native/build'))
      await toolchain.buildAddon(join(copy, 'native/build/nzcore.node'), 'address,undefined')
      const files = isFull ? [...TESTS, ...MORE_TESTS] : TESTS
      const { status, text } = await run(process.execPath, ['--test', '--test-reporter=tap', ...files], {
        cwd: copy,
        timeoutMs: isFull ? 1_700_000 : 450_000,
        env: {
          LD_PRELOAD: runtime,
          // V8 keeps what it has at exit; our own leaks are sought in cpp.test.ts.
          ASAN_OPTIONS: 'detect_leaks=0:halt_on_error=1:quarantine_size_mb=64',
          UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
          NODE_TEST_CONTEXT: undefined,
          // The addon is what is tried, also in a run that leaves it out elsewhere.
          ...(process.env['NZ_NATIVE'] === '0' ? { NZ_NATIVE: undefined } : {}),
          NZ_FULL: undefined,
        },
      })
      assert.equal(status, 0, text)
      assert.match(text, /^# pass [1-9]\d*$/m, text)
      // Without the addon most of them would be skipped.
      assert.doesNotMatch(text, /SKIP native session/)
      t.diagnostic(/^# pass \d+$/m.exec(text)?.[0] ?? '')
    } finally {
      rmSync(copy, { recursive: true, force: true })
    }
  })
})

/** The sanitizer's library, to be loaded before everything else; its bare name when there is none. */
function runtimeOf(compiler: string): string {
  return spawnSync(compiler, ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout.trim()
}
