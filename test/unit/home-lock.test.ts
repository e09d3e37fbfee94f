/** One process a profile: modules/home/profile-lock.ts. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { isRunning, thisProcess } from '../../modules/home/process-identity.ts'
import { lockProfile } from '../../modules/home/profile-lock.ts'

const NO_SUCH_PID = 2 ** 22 + 7

describe('the lock of a profile', () => {
  let dir = ''
  let path = ''
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nz-lock-'))
    path = join(dir, 'lock')
  })
  afterEach(async () => await rm(dir, { recursive: true }))

  it('refuses a second holder and names the first', async () => {
    const lock = await lockProfile(path)
    await assert.rejects(lockProfile(path), {
      code: 'NZ_HOME_LOCKED',
      exit: 'conflict',
      data: { path, pid: process.pid },
    })
    await lock.release()
    await (await lockProfile(path)).release()
    assert.deepEqual(await readdir(dir), [])
  })

  it('takes over the lock of a process that is gone', async () => {
    await writeFile(path, JSON.stringify({ pid: NO_SUCH_PID, startTicks: 5, bootId: 'b', nonce: '00'.repeat(8) }))
    const lock = await lockProfile(path)
    assert.equal(JSON.parse(await readFile(path, 'utf8')).pid, process.pid)
    await lock.release()
    assert.deepEqual(await readdir(dir), [])
  })

  it(
    'does not take a process that got the same pid later for the owner',
    { skip: process.platform !== 'linux' },
    async () => {
      const self = await thisProcess()
      assert.ok(self.startTicks !== null)
      assert.equal(await isRunning(self), true)
      for (const former of [
        { ...self, startTicks: self.startTicks - 1 },
        { ...self, bootId: 'an earlier boot' },
      ]) {
        assert.equal(await isRunning(former), false)
        await writeFile(path, JSON.stringify({ ...former, nonce: '11'.repeat(8) }))
        await (await lockProfile(path)).release()
      }
    },
  )

  it('lets exactly one of many starters win, whatever lock they find', async () => {
    const stale = JSON.stringify({ pid: NO_SUCH_PID, startTicks: 5, bootId: 'b', nonce: '22'.repeat(8) })
    for (const found of [null, stale, stale, stale]) {
      if (found !== null) await writeFile(path, found)
      const outcomes = await Promise.allSettled(Array.from({ length: 24 }, async () => await lockProfile(path)))
      const won = outcomes.filter((outcome) => outcome.status === 'fulfilled')
      assert.equal(won.length, 1)
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') assert.equal(outcome.reason.code, 'NZ_HOME_LOCKED')
      }
      await won[0]?.value.release()
      assert.deepEqual(await readdir(dir), [])
    }
  })

  it('goes on after takers that died in the middle of a takeover', async () => {
    const dead = (nonce: string): string => JSON.stringify({ pid: NO_SUCH_PID, startTicks: 5, bootId: 'b', nonce })
    await writeFile(path, dead('aa'.repeat(8)))
    await writeFile(`${path}.${'aa'.repeat(8)}`, dead('bb'.repeat(8)))
    await writeFile(`${path}.${'aa'.repeat(8)}.${'bb'.repeat(8)}`, dead('cc'.repeat(8)))
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, async () => await lockProfile(path)))
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
    assert.equal(JSON.parse(await readFile(path, 'utf8')).pid, process.pid)
  })

  it('never removes a lock that is not its own', async () => {
    const lock = await lockProfile(path)
    const other = JSON.stringify({ ...(await thisProcess()), nonce: '33'.repeat(8) })
    await writeFile(path, other)
    await lock.release()
    assert.equal(await readFile(path, 'utf8'), other)
  })

  it('says so when a lock file names nobody', async () => {
    for (const damaged of ['', '{', '{"pid":-1}', 'x'.repeat(5_000)]) {
      await writeFile(path, damaged)
      await assert.rejects(lockProfile(path), { code: 'NZ_HOME_UNREADABLE' })
    }
  })
})
