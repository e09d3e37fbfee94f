/**
 * The restore drill with real processes: a daemon is backed up while it is written to, its home is deleted, and words and
 * archives alone bring it back. Needs a build.
 */
import assert from 'node:assert/strict'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { homeOf } from '../../protocols/ipc/home.ts'
import { createClient } from '../../sdk/client.ts'
import { Machine } from './story/machine.ts'

const WRITERS = 4

describe('the restore drill', { timeout: 180_000, skip: process.platform === 'win32' }, () => {
  let folder = ''
  let machine: Machine
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nz-drill-'))
    const archives = JSON.stringify(join(folder, 'archives'))
    const config = `[network]\nlisten = ["/ip4/127.0.0.1/tcp/0"]\n[backup]\nfolder = ${archives}\n`
    machine = await Machine.create(join(folder, 'machine'), config)
  })
  after(async () => {
    await machine.run('down', '--force')
    await rm(folder, { recursive: true, force: true })
  })

  const wordsAre = async (words: string): Promise<void> => {
    const file = join(folder, 'words')
    await writeFile(file, words, { mode: 0o600 })
    Object.assign(machine.env, { NZ_WORDS_FILE: file })
  }

  /** What the commands say of the log and the document. */
  const tellingOf = async () => {
    const [{ items }, proof, { state: heads }, { versions }] = [
      await machine.json('log', 'read', 'audit'),
      await machine.json('log', 'verify', 'audit'),
      await machine.json('docs', 'heads', 'plan'),
      await machine.json('docs', 'history', 'plan'),
    ]
    const contents: unknown[] = []
    for (const { id } of versions as { readonly id: string }[])
      contents.push((await machine.json('docs', 'get', 'plan', '--version', id))['content'])
    return { items, hash: proof['hash'], isIntact: proof['isIntact'], heads, versions, contents }
  }

  it('brings back the same peer, roots and values', async () => {
    await machine.json('up')
    const before = await machine.json('id')
    const client = createClient({ socketPath: homeOf({ env: machine.env }).socketPath })
    const acknowledged = new Map<string, string>()
    const started = new Map<string, string>()
    let isWriting = true
    const writers = Array.from({ length: WRITERS }, async (_, writer) => {
      for (let i = 0; isWriting; i++) {
        const [key, value] = [`w${writer}-${i % 200}`, `${writer}.${i}`]
        started.set(key, value)
        await client.kvPut({ key, value })
        acknowledged.set(key, value)
      }
    })
    const large = join(folder, 'large')
    await writeFile(large, Buffer.alloc(3_000_000, 'nzcore '))
    await machine.json('files', 'put', 'large.bin', large)
    await machine.json('log', 'append', 'audit', 'the door opened')
    const draft = join(folder, 'draft')
    await writeFile(draft, 'one\n')
    await machine.json('docs', 'put', 'plan', draft)
    const full = await machine.json('backup', 'create')
    await machine.json('kv', 'put', 'between', 'first')
    await machine.json('log', 'append', 'audit', 'the door closed')
    await writeFile(draft, 'two\n')
    await machine.json('docs', 'put', 'plan', draft, '--parent', 'head')
    await writeFile(draft, 'another two\n')
    const { version } = await machine.json('docs', 'history', 'plan').then(({ versions }) => {
      const first = (versions as { readonly id: string; readonly time: number }[]).find(({ time }) => time === 1)
      return { version: first?.id ?? '' }
    })
    await machine.json('docs', 'put', 'plan', draft, '--parent', version, '--fork')
    const told = await tellingOf()
    assert.equal((told.heads as { readonly isForked: boolean }).isForked, true)
    const first = await machine.json('backup', 'create')
    const promised = new Map(acknowledged)
    const second = await machine.json('backup', 'create')
    isWriting = false
    await Promise.all(writers)
    const kinds = [full, first, second].map(({ backup }) => (backup as { kind: string }).kind)
    assert.deepEqual(kinds, ['full', 'incremental', 'incremental'])
    assert.ok(promised.size > 20, 'the load was no load')

    const { words } = await machine.json('identity', 'phrase', '--yes')
    await wordsAre((words as string[]).join(' '))
    const archives = join(folder, 'archives')
    const proven = await machine.json('backup', 'verify')
    const { roots } = second['backup'] as { roots: unknown }
    assert.deepEqual(proven['roots'], roots)
    assert.equal((await machine.json('backup', 'phrase'))['isRight'], true)
    await machine.json('down')
    await rm(machine.home, { recursive: true, force: true })

    const restored = await machine.json('backup', 'restore', archives)
    assert.equal(restored['peerId'], before['peerId'])
    assert.deepEqual(restored['roots'], roots)
    await machine.json('up')
    assert.deepEqual(await machine.json('id'), before)
    for (const [key, value] of promised) {
      const { record } = await client.kvGet({ key })
      const newer = started.get(key)
      // Changed again while the last archive was made: any value from then on is right.
      const isRight = record.value === value || Number(record.value.split('.')[1]) > Number(value.split('.')[1])
      assert.ok(isRight && newer !== undefined, `${key}: ${record.value} is older than ${value}`)
    }
    assert.equal((await client.kvGet({ key: 'between' })).record.value, 'first')
    assert.deepEqual(await tellingOf(), told)
    assert.deepEqual([told.isIntact, new Set(told.contents)], [true, new Set(['another two\n', 'one\n', 'two\n'])])
    await machine.json('log', 'append', 'audit', 'the door opened again')
    assert.equal((await machine.json('log', 'verify', 'audit'))['entries'], 3)
    await machine.json('files', 'get', 'large.bin', join(folder, 'back'))
    assert.ok((await readFile(large)).equals(await readFile(join(folder, 'back'))))
    assert.match(await readFile(join(machine.home, 'config.toml'), 'utf8'), /archives/)
    await machine.json('down')
  })

  it('has an exit code for words that are missing, wrong or readable by others, and for a damaged archive', async () => {
    const archives = join(folder, 'archives')
    const fails = async (code: number, pattern: RegExp, ...args: readonly string[]): Promise<void> => {
      const done = await machine.run(...args)
      assert.equal(done.code, code, done.stderr)
      assert.match(done.stderr, pattern)
    }
    const shares = join(folder, 'shares')
    const { files } = await machine.json('backup', 'split', '--shares', '4', '--threshold', '2', '--to', shares)
    const [one = '', two = '', three = ''] = files as string[]
    const combine = ['backup', 'combine', '--yes', '--share-file']
    const combined = await machine.json(...combine, three, '--share-file', one)
    assert.equal((combined['words'] as string[]).join(' '), await readFile(join(folder, 'words'), 'utf8'))
    await fails(2, /NZ_BACKUP_SHARES_FEW/, ...combine, two)
    await writeFile(two, (await readFile(two, 'utf8')).replace(/^(.{20})./, '$1b'))
    await fails(11, /NZ_BACKUP_SHARE_INVALID/, ...combine, one, '--share-file', two)
    await fails(10, /NZ_BACKUP_HOME_IN_USE/, 'backup', 'restore', archives)
    const other = ['--profile', 'other', 'backup', 'restore', archives]
    const words = await readFile(join(folder, 'words'), 'utf8')
    await wordsAre('abandon '.repeat(23) + 'art')
    await fails(4, /NZ_BACKUP_NOT_OURS/, ...other)
    await fails(10, /NZ_BACKUP_WORDS_OTHER/, 'backup', 'phrase')
    await chmod(join(folder, 'words'), 0o644)
    await fails(2, /NZ_BACKUP_WORDS_MISSING/, ...other)
    await chmod(join(folder, 'words'), 0o600)
    await wordsAre(words)
    const [name = ''] = (await readdir(archives)).filter((one) => one.includes('full'))
    const bytes = await readFile(join(archives, name))
    bytes[bytes.byteLength - 5] = (bytes.at(-5) ?? 0) ^ 1
    await writeFile(join(archives, name), bytes)
    await fails(11, new RegExp(`NZ_BACKUP_ARCHIVE_DAMAGED[^]*${name}`), ...other)
    await fails(11, /NZ_BACKUP_ARCHIVE_DAMAGED/, 'backup', 'verify', archives)
    const states = await readdir(join(machine.home, 'state'))
    assert.deepEqual(
      states.filter((one) => one !== 'default' && one !== 'run'),
      [],
    )
  })
})
