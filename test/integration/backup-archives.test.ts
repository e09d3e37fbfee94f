/** Archives of a node with everything in it: back from words alone, and an exact answer for whatever happened to them. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { restoreBackup, verifyBackup } from '../../cli/node.ts'
import { isNzError, seededRandom } from '../../kernel/index.ts'
import { backupFolder, backupNode, homeBelow } from '../fake/backup.ts'
import type { AddressInfo } from 'node:net'
import type { BackupEntry } from '../../modules/backup/service.ts'
import type { BackupNode } from '../fake/backup.ts'

const { signal } = new AbortController()
const MUTATIONS = process.env['NZ_FULL'] === '1' ? 2_000 : 40
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))

async function* pieces(content: Uint8Array): AsyncGenerator<Uint8Array> {
  yield content
  await Promise.resolve()
}

interface Contents {
  readonly kv: Readonly<Record<string, string>>
  readonly file: string
  readonly log: readonly string[]
}

async function contentsOf({ storage, files, eventLog }: BackupNode): Promise<Contents> {
  const kv: Record<string, string> = {}
  for await (const { key, value } of storage.namespace('kv').range()) kv[key] = Buffer.from(value).toString()
  const chunks: Uint8Array[] = []
  for await (const chunk of await files.read('large.bin', { signal })) chunks.push(Uint8Array.from(chunk))
  const log: string[] = []
  for await (const item of eventLog.read('notes', { signal }))
    if (item.type === 'entry') log.push(Buffer.from(item.payload).toString())
  return { kv, file: Buffer.concat(chunks).toString('base64'), log }
}

describe('archives of a node', { timeout: 240_000 }, () => {
  let dir = ''
  let archives = ''
  let folder: Awaited<ReturnType<typeof backupFolder>>
  let entries: readonly BackupEntry[] = []
  let phrase = new Uint8Array()
  let peerId = ''
  let expected: Contents

  before(async () => {
    folder = await backupFolder()
    dir = folder.dir
    archives = join(dir, 'archives')
    await using node = await backupNode(join(dir, 'source'), { folder: archives })
    const kv = node.storage.namespace('kv')
    for (let i = 0; i < 300; i++) await kv.put(`key-${i}`, bytes(`value ${i}`))
    await node.files.put('large.bin', pieces(seededRandom(1).bytes(700_000)), { signal })
    await node.eventLog.append('notes', [bytes('one'), bytes('two')])
    await node.backup.create({ signal })
    await kv.put('key-0', bytes('changed'))
    await kv.delete('key-1')
    await node.eventLog.append('notes', [bytes('three')])
    await node.backup.create({ signal })
    await node.files.put('large.bin', pieces(seededRandom(2).bytes(200_000)), { signal, replaces: true })
    await kv.put('last', bytes('value'))
    await node.backup.create({ signal })
    entries = await node.backup.list()
    expected = await contentsOf(node)
    phrase = Uint8Array.from(await node.phrase())
    peerId = node.peerId
  })

  after(async () => await folder[Symbol.asyncDispose]())

  const target = (name: string) => ({
    home: homeBelow(join(dir, name)),
    phrase,
    passphrase: null,
    signal,
    isForced: false,
  })

  /** A copy of the archives that `change` may spoil. */
  async function spoiled(name: string, change: (folder: string) => Promise<void>): Promise<string> {
    const copy = join(dir, name)
    await mkdir(copy)
    for (const file of await readdir(archives)) await copyFile(join(archives, file), join(copy, file))
    await change(copy)
    return copy
  }

  async function refused(
    from: string,
    options: object = {},
  ): Promise<{ code: string; exit: string; why: string | null }> {
    const into = target('refused')
    try {
      await restoreBackup({ ...into, folder: from, ...options })
    } catch (error) {
      assert.ok(isNzError(error), String(error))
      const parent = join(dir, 'refused', 'state')
      assert.deepEqual(existsSync(parent) ? await readdir(parent) : [], [], 'something was left')
      assert.ok(!existsSync(into.home.keyFile))
      return { code: error.code, exit: error.exit, why: error.why }
    }
    return await Promise.reject(new Error('it was restored'))
  }

  it('are one full one and what changed', async () => {
    assert.deepEqual(
      entries.map(({ kind }) => kind),
      ['full', 'incremental', 'incremental'],
    )
    assert.ok((entries[0]?.bytes ?? 0) > 700_000 && (entries[1]?.bytes ?? 0) < 10_000)
    for (const name of await readdir(archives)) assert.equal((await stat(join(archives, name))).mode & 0o777, 0o600)
  })

  it('tell nothing of what is inside', async () => {
    for (const { name } of entries) {
      const file = await readFile(join(archives, name))
      for (const text of ['key-1', 'value 2', 'large.bin', 'storage', peerId, 'notes'])
        assert.equal(file.indexOf(text), -1)
      for (const word of Buffer.from(phrase).toString().split(' '))
        if (word.length > 6) assert.equal(file.indexOf(word), -1)
    }
  })

  it('give the same node back from the words alone, which can go on backing up', async () => {
    const into = target('restored')
    const report = await restoreBackup({ ...into, folder: archives })
    assert.equal(report.peerId, peerId)
    assert.equal(report.archives, 3)
    assert.deepEqual(report.roots, entries[2]?.roots)
    assert.deepEqual(await readdir(join(dir, 'restored', 'state')), ['default'])
    await using node = await backupNode(join(dir, 'restored'), { folder: archives })
    assert.equal(node.peerId, peerId)
    assert.deepEqual(await contentsOf(node), expected)
    assert.equal((await node.eventLog.verify('notes', { signal })).isIntact, true)
    assert.deepEqual(await node.restore.roots({ signal }), report.roots)
    const next = await node.backup.create({ signal })
    assert.equal(next.kind, 'full', 'it must not go on from what another run remembered')
    await rm(join(archives, next.name))
  })

  it('give an earlier state back', async () => {
    const report = await restoreBackup({ ...target('earlier'), folder: archives, at: entries[1]?.id ?? '' })
    assert.deepEqual(report.roots, entries[1]?.roots)
    await using node = await backupNode(join(dir, 'earlier'))
    const { kv, log } = await contentsOf(node)
    assert.deepEqual([kv['key-0'], kv['key-1'], kv['last'], log.length], ['changed', undefined, undefined, 3])
  })

  it('are proven in a home that is gone afterwards, also when they do not prove themselves', async () => {
    const into = { ...target('proving'), folder: archives }
    assert.deepEqual((await verifyBackup(into)).roots, entries[2]?.roots)
    const cut = await spoiled('cut', async (copy) => await writeFile(join(copy, entries[2]?.name ?? ''), 'age-'))
    await assert.rejects(verifyBackup({ ...into, folder: cut }), { code: 'NZ_BACKUP_ARCHIVE_DAMAGED' })
    assert.deepEqual(await readdir(join(dir, 'proving', 'state')), [])
  })

  it('prove nothing when the node that is started on them is not well, and say which module it is', async () => {
    const from = join(dir, 'unwell-archives')
    let words = new Uint8Array()
    {
      await using node = await backupNode(join(dir, 'unwell'), { folder: from })
      await node.storage.namespace('contacts').put('somebody', bytes('no contact'))
      await node.backup.create({ signal })
      words = Uint8Array.from(await node.phrase())
    }
    const into = { ...target('unwell-proving'), phrase: words, folder: from }
    await assert.rejects(verifyBackup(into), (error) => {
      assert.ok(isNzError(error, 'NZ_BACKUP_NODE_UNWELL'), String(error))
      assert.match(error.why ?? '', /^contacts: .*\(NZ_STORAGE_VALUE_INVALID\)/)
      const { modules } = error.data as { readonly modules: readonly { readonly module: string }[] }
      assert.ok(modules.some(({ module }) => module === 'contacts'))
      return true
    })
    assert.deepEqual(await readdir(join(dir, 'unwell-proving', 'state')), [])
  })

  it('are proven while the node that was backed up holds the ports of its forwards', async () => {
    const from = join(dir, 'forwarding-archives')
    const holder = createServer().listen(0, '127.0.0.1')
    await once(holder, 'listening')
    try {
      const { port } = holder.address() as AddressInfo
      await using node = await backupNode(join(dir, 'forwarding'), { folder: from })
      const records = {
        contacts: [peerId, { peerId, name: 'desk', addresses: [], verifiedBy: 'words', addedAtMs: 1 }],
        forwards: [
          'fwd_00000001',
          { kind: 'local', forwardId: 'fwd_00000001', service: 'web', host: '127.0.0.1', port, peerId },
        ],
      } as const
      for (const [name, [key, value]] of Object.entries(records))
        await node.storage.namespace(name).put(key, bytes(JSON.stringify(value)))
      const { roots } = await node.backup.create({ signal })
      const into = { ...target('forwarding-proving'), phrase: Uint8Array.from(await node.phrase()), folder: from }
      assert.deepEqual((await verifyBackup(into)).roots, roots)
    } finally {
      holder.close()
    }
  })

  it('never take the place of a home, but set it aside when asked to', async () => {
    const into = target('busy')
    await (await backupNode(join(dir, 'busy')))[Symbol.asyncDispose]()
    await assert.rejects(restoreBackup({ ...into, folder: archives }), { code: 'NZ_BACKUP_HOME_IN_USE' })
    const running = await backupNode(join(dir, 'busy'))
    const other = running.peerId
    await assert.rejects(restoreBackup({ ...into, folder: archives, isForced: true }), {
      code: 'NZ_BACKUP_HOME_IN_USE',
    })
    await running[Symbol.asyncDispose]()
    const { setAside } = await restoreBackup({ ...into, folder: archives, isForced: true })
    assert.ok(setAside !== null && existsSync(join(setAside, 'identity.nzid')))
    await using node = await backupNode(join(dir, 'busy'))
    assert.equal(node.peerId, peerId)
    assert.notEqual(other, peerId)
  })

  it('say which one is missing, exchanged, cut or not ours', async () => {
    const [full = '', first = '', second = ''] = entries.map(({ name }) => name)
    const missing = await spoiled('missing', async (copy) => await rm(join(copy, first)))
    const answer = await refused(missing)
    assert.deepEqual([answer.code, answer.exit], ['NZ_BACKUP_CHAIN_BROKEN', 'damaged'])
    assert.ok(answer.why?.includes(second) === true && answer.why.includes((entries[1]?.id ?? '').slice(0, 8)))
    assert.equal((await restoreBackup({ ...target('oldest'), folder: missing, at: full })).archives, 1)

    const swapped = await spoiled('swapped', async (copy) => {
      await rename(join(copy, first), join(copy, 'x'))
      await rename(join(copy, full), join(copy, first))
      await rename(join(copy, 'x'), join(copy, full))
    })
    assert.equal(
      (await restoreBackup({ ...target('swapped-home'), folder: swapped })).archives,
      3,
      'names do not count',
    )

    const others = join(dir, 'others')
    await using foreign = await backupNode(join(dir, 'foreign'), { folder: others })
    await foreign.backup.create({ signal })
    assert.deepEqual((await refused(others)).code, 'NZ_BACKUP_NOT_OURS')
    const wrong = Uint8Array.from(await foreign.phrase())
    assert.equal((await refused(archives, { phrase: wrong })).code, 'NZ_BACKUP_NOT_OURS')
    const mixed = await spoiled('mixed', async (copy) => {
      for (const name of await readdir(others)) await copyFile(join(others, name), join(copy, name))
    })
    assert.equal((await restoreBackup({ ...target('mixed-home'), folder: mixed })).peerId, peerId)
    assert.equal((await refused(join(dir, 'nowhere'))).code, 'NZ_BACKUP_NO_ARCHIVE')
    assert.equal((await refused(archives, { at: 'ffff' })).code, 'NZ_BACKUP_NO_ARCHIVE')
    const typed = Uint8Array.from(Buffer.from(Buffer.from(phrase).toString().replace(/\S+$/, 'zzz')))
    assert.equal((await refused(archives, { phrase: typed })).code, 'NZ_IDENTITY_WORDS_INVALID')
  })

  it('are refused with a code, and leave nothing, wherever a byte is changed or the end is cut', async () => {
    const random = seededRandom(7)
    const pick = (below: number): number => Math.floor(random.unit() * below)
    const codes = ['NZ_BACKUP_ARCHIVE_DAMAGED', 'NZ_BACKUP_CHAIN_BROKEN', 'NZ_BACKUP_NOT_OURS', 'NZ_BACKUP_NO_ARCHIVE']
    for (let round = 0; round < MUTATIONS; round++) {
      const { name = '' } = entries[pick(entries.length)] ?? {}
      const copy = await spoiled(`mutated-${round}`, async (at) => {
        const file = await readFile(join(at, name))
        const place = pick(round % 3 === 0 ? Math.min(300, file.byteLength) : file.byteLength)
        if (round % 4 === 3) await writeFile(join(at, name), file.subarray(0, place))
        else {
          file[place] = (file[place] ?? 0) ^ (1 << pick(8))
          await writeFile(join(at, name), file)
        }
      })
      const { code } = await refused(copy)
      assert.ok(codes.includes(code), `round ${round}: ${code}`)
      await rm(copy, { recursive: true })
    }
  })
})
