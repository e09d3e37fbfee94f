/** Under which circumstances a node in the foreground replaces its process. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { NODE_FLAGS, restartUnderFlags } from '../../cli/node-flags.ts'
import type { ReplaceableProcess } from '../../cli/node-flags.ts'

/** The arguments this process would be replaced with; `null` when it stays. */
function replacedBy(process: Partial<ReplaceableProcess>): readonly string[] | null {
  let replaced: readonly string[] | null = null
  const execve = ((_file: string, args: readonly string[]) => void (replaced = args)) as ReplaceableProcess['execve']
  restartUnderFlags({
    argv: ['/bin/node', '/nz/nzcore.js', 'up', '--foreground'],
    env: {},
    execArgv: ['--no-warnings'],
    execPath: '/bin/node',
    platform: 'linux',
    ...(execve === undefined ? {} : { execve }),
    ...process,
  })
  return replaced
}

describe('a node in the foreground', () => {
  it('runs the same program under the flags', () => {
    const expected = ['/bin/node', '--no-warnings', ...NODE_FLAGS, '/nz/nzcore.js', 'up', '--foreground']
    assert.deepEqual(replacedBy({}), expected)
  })

  it('stays when it runs under them, or the operator chose', () => {
    assert.equal(replacedBy({ execArgv: NODE_FLAGS as string[] }), null)
    assert.equal(replacedBy({ env: { NODE_OPTIONS: '--max_semi_space_size=8' } }), null)
  })

  it('stays where a passphrase would be lost, and on Windows', () => {
    assert.equal(replacedBy({ env: { NZ_PASSPHRASE_FD: '5' } }), null)
    assert.equal(replacedBy({ platform: 'win32' }), null)
  })
})
