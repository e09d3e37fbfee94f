import assert from 'node:assert/strict'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { makeFolder } from '../../../kernel/index.ts'

describe('making a folder', () => {
  let dir = ''
  before(async () => void (dir = await mkdtemp(join(tmpdir(), 'nz-folder-'))))
  after(async () => await rm(dir, { recursive: true, force: true }))

  it('makes those above it, for their owner alone, and lets one stand that is there', async () => {
    const path = join(dir, 'a', 'b', 'c')
    await Promise.all([makeFolder(path), makeFolder(path), makeFolder(join(path, 'd'))])
    await makeFolder(`${path}/`)
    for (const made of [path, join(dir, 'a'), join(path, 'd')]) assert.equal((await stat(made)).mode & 0o777, 0o700)
  })

  it('says what stands in the way', async () => {
    await writeFile(join(dir, 'file'), '')
    await assert.rejects(makeFolder(join(dir, 'file')), { code: 'EEXIST' })
    await assert.rejects(makeFolder(join(dir, 'file', 'a', 'b')), { code: 'EEXIST' })
  })

  it(
    'ends where a system takes no folders',
    { skip: process.platform !== 'linux' && 'only Linux has /proc' },
    async () => {
      await assert.rejects(makeFolder('/proc/nz/a/b'), { code: 'ENOENT' })
    },
  )
})
