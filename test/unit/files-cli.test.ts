/** `nzcore files` over the contract and the handlers, on a node with real sockets and stored files in memory. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { rangeOf } from '../../cli/commands/files.ts'
import { SimulatedClock } from '../../kernel/index.ts'
import { FilesService } from '../../modules/files/service.ts'
import { IDLE_LIMIT_MS, filesHandlers } from '../../modules/ipc/handlers/files.ts'
import { duplexPair } from '../../protocols/ipc/framed-duplex.ts'
import { createNzNode } from '../../sdk/nz-node.ts'
import { contentOf, inPieces, sha256 } from '../compliance/files.ts'
import { runCli } from '../fake/cli.ts'
import { openFiles } from '../fake/files.ts'
import { startApiNode } from '../fake/node.ts'
import type { CliRunInit } from '../fake/cli.ts'
import type { ApiNode } from '../fake/node.ts'

let node: ApiNode
let dir: string
before(async () => {
  node = await startApiNode()
  dir = await mkdtemp(join(tmpdir(), 'nz-files-cli-'))
})
after(async () => {
  await node[Symbol.asyncDispose]()
  await rm(dir, { recursive: true, force: true })
})

const run = async (argv: readonly string[], init: CliRunInit = {}) =>
  await runCli(['files', ...argv], { client: node.client, ...init })
const json = async (argv: readonly string[]) => JSON.parse((await run([...argv, '--json'])).stdout)
const path = (name: string): string => join(dir, name)
const content = contentOf(1_000_000)

describe('nzcore files', () => {
  it('keeps a file and gives it back, whole or in part', async () => {
    await writeFile(path('in.bin'), content)
    const put = await run(['put', 'big/in.bin', path('in.bin'), '--mime', 'application/x-test'])
    assert.deepEqual([put.code, put.stderr], [0, ''])
    assert.match(put.stdout, /^✔ kept big\/in\.bin {2}1 MB, sha256 [0-9a-f]{8}…\n$/)
    const got = await json(['get', 'big/in.bin', path('out.bin')])
    assert.deepEqual(Uint8Array.from(await readFile(path('out.bin'))), content)
    assert.equal((await stat(path('out.bin'))).mode & 0o777, 0o600)
    assert.deepEqual(
      [got.schema, got.file.contentId, got.start, got.end],
      ['nz.fileRead/1', sha256(content), 0, content.length],
    )
    for (const [range, from, to] of [
      ['0-99', 0, 100],
      ['999000-', 999_000, 1_000_000],
      ['-65537', 1_000_000 - 65_537, 1_000_000],
    ] as const) {
      assert.equal((await run(['get', 'big/in.bin', path('part'), '--force', '--range', range])).code, 0)
      assert.deepEqual(Uint8Array.from(await readFile(path('part'))), content.slice(from, to), range)
    }
    assert.deepEqual((await readdir(dir)).toSorted(), ['in.bin', 'out.bin', 'part'])
  })

  it('takes standard input and writes to standard output', async () => {
    const put = await run(['put', 'text', '-'], { stdin: inPieces(Buffer.from('hello\nworld\n'), 3) })
    assert.equal(put.code, 0)
    assert.deepEqual(await run(['get', 'text', '-']), { code: 0, stdout: 'hello\nworld\n', stderr: '' })
    const { stdout, stderr } = await run(['get', 'text', '-', '--json'])
    assert.equal(stdout, 'hello\nworld\n')
    assert.equal(JSON.parse(stderr).path, null)
    const onTerminal = await run(['get', 'text', '-'], { isTty: true })
    assert.deepEqual([onTerminal.code, onTerminal.stdout], [2, ''])
  })

  it('replaces nothing unless told to', async () => {
    await writeFile(path('mine'), 'mine')
    const kept = await run(['get', 'text', path('mine')])
    assert.deepEqual([kept.code, await readFile(path('mine'), 'utf8')], [10, 'mine'])
    assert.match(kept.stderr, /NZ_CLI_FILE_EXISTS/)
    assert.equal((await run(['put', 'text', path('mine')])).code, 10)
    assert.equal((await run(['put', 'text', path('mine'), '--force'])).code, 0)
    assert.equal((await run(['get', 'text', path('mine'), '--force'])).code, 0)
  })

  it('lists, shows, removes and collects', async () => {
    const list = await run(['list'])
    assert.match(list.stdout, /^NAME +SIZE +SINCE +TYPE +SHA256\nbig\/in\.bin +1 MB .* application\/x-test /)
    assert.match(list.stdout, /\n2 files, 2 contents, 1\.1 MB of 1\.1 TB\n$/)
    assert.equal((await json(['list', '--limit', '1'])).hasMore, true)
    assert.match((await run(['info', 'text'])).stdout, /^text {2}4 B \(4 bytes\)\nsha256 {3}[0-9a-f]{64}\n/)
    assert.match((await run(['rm', 'text'])).stdout, /^✔ removed text \(4 B\)\n$/)
    assert.equal((await run(['rm', 'text'])).code, 5)
    assert.equal((await run(['info', 'text'])).code, 5)
    assert.deepEqual(await json(['gc', '--dry-run']), {
      schema: 'nz.filesCollected/1',
      isDryRun: true,
      contents: 0,
      contentIds: [],
      // The one that was replaced before, and this one.
      diskFiles: 2,
    })
    assert.match((await run(['gc'])).stdout, /^✔ removed 0 contents without a name, 2 files of the disk\n$/)
  })

  it('says what it cannot do', async () => {
    for (const [argv, code, text] of [
      [['put', '../evil', path('in.bin')], 2, 'NZ_FILES_NAME_INVALID'],
      [['put', 'x', path('absent')], 5, 'NZ_CLI_FILE_UNREADABLE'],
      [['put', 'x', dir], 5, 'NZ_CLI_FILE_UNREADABLE'],
      [['get', 'absent', path('absent')], 5, 'NZ_FILES_NOT_FOUND'],
      [['get', 'big/in.bin', path('a/b')], 1, 'NZ_CLI_FILE_UNWRITABLE'],
      [['get', 'big/in.bin', '/dev/null', '--force'], 1, 'NZ_CLI_FILE_UNWRITABLE'],
      [['get', 'big/in.bin', dir, '--force'], 1, 'NZ_CLI_FILE_UNWRITABLE'],
      [['get', 'big/in.bin', path('x'), '--range', '5'], 2, 'NZ_CLI_USAGE'],
      [['get', 'big/in.bin', path('x'), '--range', '1000001-'], 2, 'NZ_FILES_RANGE'],
    ] as const) {
      const { code: exit, stderr, stdout } = await run([...argv])
      assert.equal(exit, code, argv.join(' '))
      assert.match(stderr, new RegExp(text))
      assert.equal(stdout, '')
    }
    assert.deepEqual(
      (await readdir(dir)).filter((name) => name.startsWith('.') || name === 'absent'),
      [],
    )
  })

  it('reads ranges as HTTP has them', () => {
    assert.deepEqual([rangeOf(undefined), rangeOf('0-0'), rangeOf('-0')], [{}, { from: 0, to: 1 }, { last: 0 }])
    for (const bad of ['', '-', '1', 'a-b', '1-2-3', '1'.repeat(16) + '-']) assert.throws(() => rangeOf(bad))
  })

  it('verifies, and exits with 11 when something is damaged', async () => {
    assert.match((await run(['verify'])).stdout, /^✔ 1 files proven, 1 MB read\n$/)
    const files = node.kernel.get(FilesService)
    const { contentId } = await files.info('big/in.bin')
    const { folder, sealed } = contentOfNode(node)
    sealed[500_000] = 1 ^ (sealed[500_000] ?? 0)
    const found = await run(['verify'])
    assert.equal(found.code, 11)
    assert.match(found.stdout, /^✖ big\/in\.bin: its chunk 7 does not open\n! 1 of 1 files are damaged\n/)
    assert.deepEqual((await json(['verify', 'big/in.bin'])).damaged, [
      { name: 'big/in.bin', contentId, why: 'its file is missing' },
    ])
    const get = await run(['get', 'big/in.bin', path('damaged')])
    assert.equal(get.code, 11)
    assert.match((await run(['list'])).stdout, /! 1 contents are damaged/)
    assert.equal(folder.setAsideFiles.size, 1)
    assert.equal((await run(['put', 'healed', path('in.bin')])).code, 0)
    assert.equal((await run(['verify'])).code, 0)
  })

  it('completes names', async () => {
    const { stdout } = await runCli(['__complete', 'files', 'get', 'he'], { client: node.client })
    assert.equal(stdout, 'healed\t1 MB\n')
  })
})

describe('the SDK', () => {
  it('puts bytes and streams, reads them whole or in part, lists and removes', async () => {
    for (const api of [node.client, node.local]) {
      const { files } = createNzNode(api, async () => undefined)
      const bytes = contentOf(300_000, 4)
      const kept = await files.put('sdk/a', bytes, { mime: 'text/plain' })
      assert.deepEqual([kept.size, kept.contentId, kept.mime], [300_000, sha256(bytes), 'text/plain'])
      await files.put('sdk/b', inPieces(bytes))
      await assert.rejects(files.put('sdk/b', bytes), { code: 'NZ_FILES_EXISTS' })
      await files.put('sdk/b', bytes, { replaces: true })
      assert.deepEqual(await (await files.read('sdk/a')).bytes(), bytes)
      const part = await files.read('sdk/a', { from: 65_530, to: 65_550 })
      assert.deepEqual([part.file.name, part.start, part.end], ['sdk/a', 65_530, 65_550])
      assert.deepEqual(await part.bytes(), bytes.slice(65_530, 65_550))
      for await (const _ of await files.read('sdk/a')) break
      const broken = async function* (): AsyncGenerator<Uint8Array> {
        yield bytes
        throw new RangeError('the source broke')
      }
      await assert.rejects(files.put('sdk/c', broken()), RangeError)
      await assert.rejects(files.read('sdk/c'), { code: 'NZ_FILES_NOT_FOUND' })
      const names: string[] = []
      for await (const { name } of files.list({ prefix: 'sdk/' })) names.push(name)
      assert.deepEqual(names, ['sdk/a', 'sdk/b'])
      for (const name of names) await files.remove(name)
    }
  })
})

describe('the connection', () => {
  it('leaves nothing of a put that breaks off, and keeps nothing without its end', async () => {
    const stop = new AbortController()
    const duplex = await node.client.filesPut({ name: 'half' }, { signal: stop.signal })
    for (let i = 0; i < 50; i++) await duplex.write(contentOf(100_000, i))
    stop.abort(new Error('gone'))
    await assert.rejects(duplex.read())
    const { folder } = contentOfNode(node)
    for (let tries = 0; folder.drafts > 0 && tries < 1_000; tries++) await new Promise((done) => setImmediate(done))
    assert.equal(folder.drafts, 0)
    assert.equal((await run(['info', 'half'])).code, 5)
  })

  it('is as fast as its reader', async () => {
    const large = contentOf(20_000_000)
    await node.local.filesInfo({ name: 'healed' })
    const put = await node.client.filesPut({ name: 'large' })
    for await (const piece of inPieces(large, 200_000)) await put.write(piece)
    await put.end()
    await put.read()
    const { folder, reads } = contentOfNode(node)
    const before = reads()
    const get = await node.client.filesGet({ name: 'large' })
    const first = await get.read()
    assert.ok(first !== null && 'message' in first)
    for (let i = 0; i < 200; i++) await new Promise((done) => setImmediate(done))
    assert.ok(reads() - before < 20_000_000 / 2, `${reads() - before} bytes were read for nobody`)
    let bytes = 0
    for (let item = await get.read(); item !== null; item = await get.read()) {
      if ('bytes' in item) bytes += item.bytes.byteLength
    }
    assert.equal(bytes, large.length)
    assert.ok(folder.files.size > 0)
  })

  it('ends when the other side gives nothing for too long', async () => {
    const clock = new SimulatedClock()
    await using opened = await openFiles({ clock })
    const [ours, theirs] = duplexPair()
    const { signal } = new AbortController()
    const params = { name: 'slow', replaces: false }
    const put = filesHandlers({ files: opened.files, clock }).filesPut(params, theirs, { signal })
    await ours.write(contentOf(10))
    const refused = assert.rejects(put, { code: 'NZ_FILES_STALLED' })
    for (let i = 0; i < 100; i++) await new Promise((done) => setImmediate(done))
    await clock.advance(IDLE_LIMIT_MS)
    await refused
    ours.fail(new Error('over'))
    assert.equal((await opened.files.status()).files, 0)
  })
})

/** The memory below the files of a node. */
function contentOfNode({ stored }: ApiNode) {
  const [sealed = new Uint8Array()] = stored.files.values()
  return { folder: stored, sealed, reads: () => stored.bytesRead }
}
