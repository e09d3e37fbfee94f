/** A command that takes archives, as real processes. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { systemClock } from '../../kernel/index.ts'
import { CommandTarget } from '../../modules/backup/command-target.ts'

let dir = ''
before(async () => void (dir = await mkdtemp(join(tmpdir(), 'nz-backup-'))))
after(async () => await rm(dir, { recursive: true, force: true }))

describe('a command', { skip: process.platform === 'win32' }, () => {
  const run = async (
    command: readonly string[],
    { timeoutMs = 20_000, size = 300_000, signal = new AbortController().signal } = {},
  ) => {
    const env = { PATH: process.env['PATH'], NZ_PASSPHRASE_FILE: 'secret' }
    const target = new CommandTarget({ command, timeoutMs, clock: systemClock, env, signal })
    return await target.write('nzcore-a-full-1.age', async (write) => {
      for (let at = 0; at < size; at += 65_536) await write(Buffer.alloc(65_536, 5))
      return 'done'
    })
  }

  it('gets the archive on standard input, the name in its words, and no secret', async () => {
    const out = join(dir, 'taken')
    assert.equal(
      await run(['sh', '-c', 'cat > "$1"; env > "$1.env"; echo "$2" >> "$1.env"', 'sh', out, 'at/{name};x']),
      'done',
    )
    assert.equal((await readFile(out)).byteLength, 327_680)
    const env = await readFile(`${out}.env`, 'utf8')
    assert.match(env, /NZ_BACKUP_NAME=nzcore-a-full-1\.age/)
    assert.match(env, /^at\/nzcore-a-full-1\.age;x$/m)
    assert.doesNotMatch(env, /secret/)
  })

  it('that fails, ends early, cannot be started or takes too long is told, with what it said', async () => {
    const failed = run(['sh', '-c', 'cat > /dev/null; echo "disk full" >&2; exit 3'])
    await assert.rejects(failed, {
      code: 'NZ_BACKUP_TARGET_FAILED',
      why: 'it ended with 3',
      data: { program: 'sh', said: 'disk full' },
    })
    await assert.rejects(run(['sh', '-c', 'exec <&-; exit 4'], { size: 4_000_000 }), {
      code: 'NZ_BACKUP_TARGET_FAILED',
    })
    await assert.rejects(run(['true'], { size: 4_000_000 }), { code: 'NZ_BACKUP_TARGET_FAILED' })
    await assert.rejects(run([join(dir, 'no such program')]), {
      code: 'NZ_BACKUP_TARGET_FAILED',
      why: 'it cannot be started',
    })
    await assert.rejects(run(['sleep', '60'], { timeoutMs: 100, size: 4_000_000 }), { code: 'NZ_BACKUP_TARGET_LATE' })
  })

  it('is ended when the backup is broken off, before it sees the end of its input', async () => {
    const pidFile = join(dir, 'pid')
    for (const size of [4_000_000, 65_536]) {
      const stop = new AbortController()
      const told = run(
        ['sh', '-c', 'echo $$ > "$1"; sleep 1; cat > /dev/null; echo whole > "$1.done"; sleep 60', 'sh', pidFile],
        {
          size,
          signal: stop.signal,
        },
      )
      await waitFor(() => existsSync(pidFile))
      stop.abort()
      await assert.rejects(told, { name: 'AbortError' })
      assert.equal(existsSync(`${pidFile}.done`), false)
      await rm(pidFile)
    }
  })
})

async function waitFor(fact: () => boolean): Promise<void> {
  for (let tries = 0; !fact(); tries++) {
    assert.ok(tries < 2_000)
    await new Promise((resolve) => systemClock.setTimer(5, () => resolve(null)))
  }
}
