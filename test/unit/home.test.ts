/** The state folder and its small durable files: modules/home. */
import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readdir, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { defineModule, Kernel } from '../../kernel/index.ts'
import type { Logger } from '../../kernel/index.ts'
import home from '../../modules/home/index.ts'
import { HomeService } from '../../modules/home/service.ts'
import { MAX_STATE_FILE_BYTES, StateFiles } from '../../modules/home/state-files.ts'
import { homeOf } from '../../protocols/ipc/home.ts'
import { z } from 'zod'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nz-home-'))
})
afterEach(async () => await rm(dir, { recursive: true, force: true }))

describe('a state file', () => {
  it('comes back as written, private, with nothing left beside it', async () => {
    const files = new StateFiles(dir)
    assert.equal(await files.read('a.json'), null)
    await files.write('a.json', bytes('one'))
    await files.write('a.json', bytes('two'))
    assert.deepEqual(await files.read('a.json'), bytes('two'))
    assert.equal((await stat(join(dir, 'a.json'))).mode & 0o777, 0o600)
    assert.deepEqual(await readdir(dir), ['a.json'])
    await files.remove('a.json')
    await files.remove('a.json')
    assert.deepEqual(await readdir(dir), [])
  })

  it('holds the last of many writes, and a reader never sees half of one', async () => {
    const files = new StateFiles(dir)
    const write = async (i: number): Promise<void> => await files.write('a', new Uint8Array(50_000).fill(i))
    const writes = Promise.all(Array.from({ length: 40 }, async (_, i) => await write(i)))
    for (let i = 0; i < 40; i++) {
      const seen = await files.read('a')
      if (seen === null) continue
      assert.equal(seen.byteLength, 50_000)
      assert.ok(seen.every((byte) => byte === seen[0]))
    }
    await writes
    assert.equal((await files.read('a'))?.[0], 39)
  })

  it('is refused when others may read it', async () => {
    const files = new StateFiles(dir)
    await files.write('a', bytes('secret'))
    await chmod(join(dir, 'a'), 0o640)
    await assert.rejects(files.read('a'), { code: 'NZ_HOME_MODE', data: { path: join(dir, 'a'), mode: '0640' } })
  })

  it('is not read through a symbolic link, nor when it is a folder', async () => {
    const files = new StateFiles(dir)
    await files.write('real', bytes('x'))
    await symlink(join(dir, 'real'), join(dir, 'link'))
    await mkdir(join(dir, 'folder'), { mode: 0o700 })
    await assert.rejects(files.read('link'), { code: 'NZ_HOME_UNREADABLE' })
    await assert.rejects(files.read('folder'), { code: 'NZ_HOME_UNREADABLE' })
  })

  it('replaces a symbolic link instead of writing through it', async () => {
    const files = new StateFiles(dir)
    await files.write('real', bytes('x'))
    await symlink(join(dir, 'real'), join(dir, 'link'))
    await files.write('link', bytes('y'))
    assert.deepEqual(await files.read('real'), bytes('x'))
    assert.deepEqual(await files.read('link'), bytes('y'))
  })

  it('may have 8 MiB and not a byte more', async () => {
    const files = new StateFiles(dir)
    await files.write('a', new Uint8Array(MAX_STATE_FILE_BYTES))
    assert.equal((await files.read('a'))?.byteLength, MAX_STATE_FILE_BYTES)
    await assert.rejects(files.write('a', new Uint8Array(MAX_STATE_FILE_BYTES + 1)), { code: 'NZ_HOME_TOO_LARGE' })
    await writeFile(join(dir, 'b'), new Uint8Array(MAX_STATE_FILE_BYTES + 1), { mode: 0o600 })
    await assert.rejects(files.read('b'), { code: 'NZ_HOME_TOO_LARGE', exit: 'damaged' })
  })

  it('says so when it cannot be written, keeps nothing of the attempt and works again later', async () => {
    const files = new StateFiles(dir)
    await mkdir(join(dir, 'a'))
    await assert.rejects(files.write('a', bytes('x')), { code: 'NZ_HOME_UNWRITABLE', retryable: true })
    assert.deepEqual(await readdir(dir), ['a'])
    await rm(dir, { recursive: true })
    await assert.rejects(files.write('a', bytes('x')), { code: 'NZ_HOME_UNWRITABLE' })
    await assert.rejects(files.remove('a'), { code: 'NZ_HOME_UNWRITABLE' })
    await mkdir(dir)
    await files.write('a', bytes('x'))
    assert.deepEqual(await files.read('a'), bytes('x'))
  })

  it('refuses a read-only folder', { skip: process.getuid?.() === 0 && 'root may write everywhere' }, async () => {
    await chmod(dir, 0o500)
    await assert.rejects(new StateFiles(dir).write('a', bytes('x')), { code: 'NZ_HOME_UNWRITABLE' })
    await chmod(dir, 0o700)
  })

  it('has a plain name', async () => {
    const files = new StateFiles(dir)
    for (const name of ['../a', 'a/b', '.a', '', 'A', 'lock', 'a'.repeat(65)]) {
      await assert.rejects(files.read(name), TypeError)
    }
  })
})

describe('the home module', () => {
  const start = async (): Promise<Kernel> => {
    let service: HomeService | undefined
    const probe = defineModule({
      name: 'probe',
      config: z.strictObject({}),
      requires: { home: HomeService },
      provides: {},
      emits: {},
      capabilities: [],
      restart: 'permanent',
      setup(_context, services) {
        service = services.home
        return { services: {} }
      },
    })
    const paths = homeOf({ env: { NZ_HOME: dir } })
    const kernel = new Kernel({ modules: [home, probe], config: { home: { ...paths } }, log: silent })
    await kernel.start()
    await service?.write('probe.json', bytes('{}'))
    return kernel
  }
  const stateDir = (): string => join(dir, 'state', 'default')

  it('makes a private folder, keeps a second process out and lets go when it stops', async () => {
    const kernel = await start()
    assert.equal((await stat(stateDir())).mode & 0o777, 0o700)
    await assert.rejects(start(), { code: 'NZ_HOME_LOCKED' })
    await kernel.stop()
    await (await start()).stop()
    assert.deepEqual(await readdir(stateDir()), ['probe.json'])
  })

  it('refuses a folder that others may enter, and holds no lock then', async () => {
    await mkdir(stateDir(), { recursive: true })
    await chmod(stateDir(), 0o750)
    await assert.rejects(start(), { code: 'NZ_HOME_MODE', data: { path: stateDir(), mode: '0750' } })
    assert.deepEqual(await readdir(stateDir()), [])
  })

  it('refuses a folder of another user', { skip: process.getuid?.() !== 0 && 'only root can make one' }, async () => {
    const { chown } = await import('node:fs/promises')
    await mkdir(stateDir(), { recursive: true, mode: 0o700 })
    await chown(stateDir(), 12_345, 12_345)
    await assert.rejects(start(), { code: 'NZ_HOME_OWNER' })
  })

  it('says so when there is a file in the place of the folder', async () => {
    await mkdir(join(dir, 'state'))
    await writeFile(stateDir(), '')
    await assert.rejects(start(), { code: 'NZ_HOME_UNWRITABLE' })
  })

  it('removes what a killed process left behind', async () => {
    await mkdir(stateDir(), { recursive: true, mode: 0o700 })
    const old = `lock.${'ab'.repeat(8)}.tmp`
    const fresh = `lock.${'cd'.repeat(8)}.tmp`
    for (const name of ['.a.json.0123456789ab.tmp', `lock.${'ef'.repeat(8)}`, old, fresh]) {
      await writeFile(join(stateDir(), name), '')
    }
    await utimes(join(stateDir(), old), 1, 1)
    const kernel = await start()
    assert.deepEqual((await readdir(stateDir())).sort(), ['lock', fresh, 'probe.json'])
    await kernel.stop()
  })
})
