/**
 * What a person reads who has the disk and no keys: nothing of values, keys, names and the 24 words, in no file and in
 * no spelling, not of what was deleted either, and nothing of the words in what the system shows of the process. Two
 * daemons that were used for everything there is, killed, started again and tidied up. Needs a build.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { connect } from '../../sdk/index.ts'
import { Varints } from '../../modules/storage/level-bytes.ts'
import { unsnappy } from '../../modules/storage/snappy.ts'
import { homeOf } from '../../protocols/ipc/home.ts'
import { ApiWriters, clientOf } from './api-writers.ts'
import { NodeProcess } from './node-process.ts'
import { KEY_WORD, VALUE_WORD } from './write-plan.ts'

const LAUNCHER = join(import.meta.dirname, '..', '..', 'cli', 'nzcore.js')
/** Each was given to the node under one heading, and nowhere else. */
const SECRETS = {
  value: VALUE_WORD,
  key: KEY_WORD,
  contact: 'kookaburradesk',
  renamed: 'cassowarydesk',
  token: 'bandicoottoken',
  service: 'potorooservice',
  file: 'numbatfile',
  content: 'echidnacontent',
  media: 'application/x-quolltype',
  transfer: 'platypustransfer',
  log: 'bettonglog',
  entry: 'bilbyentry',
  document: 'wallabydocument',
  draft: 'dunnartdraft',
} as const

const seed = Number(process.env['NZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

describe('the disk of a used node', { timeout: 300_000 }, () => {
  let folder = ''
  const nodes = new Map<string, NodeProcess>()
  const writers = new ApiWriters({ seed, writers: 2 })
  const homeNamed = (name: string): string => join(folder, name)

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nz-plain-'))
    await start('desk')
    await start('laptop')
  })

  after(async () => {
    for (const node of nodes.values()) await node.kill()
    await rm(folder, { recursive: true, force: true })
  })

  async function start(name: string): Promise<void> {
    const home = homeNamed(name)
    await mkdir(join(home, 'archives'), { recursive: true, mode: 0o700 })
    const settings = ['logs.level=debug', 'eventlog.record.enabled=true', 'eventlog.segmentBytes=65536']
    const node = NodeProcess.daemon([`backup.folder=${join(home, 'archives')}`, ...settings], { home })
    nodes.set(name, node)
    assert.match(await node.line(/./), /"state":"ready"/)
  }

  async function restart(name: string): Promise<void> {
    await nodes.get(name)?.kill()
    await start(name)
  }

  async function command(name: string, ...args: readonly string[]): Promise<unknown> {
    const env = { PATH: process.env['PATH'], HOME: homeNamed(name), NZ_HOME: homeNamed(name) }
    const { stdout } = await promisify(execFile)(process.execPath, [LAUNCHER, ...args, '--json'], { env })
    return JSON.parse(stdout)
  }

  async function wordsOf(name: string): Promise<readonly string[]> {
    return ((await command(name, 'identity', 'phrase', '--yes')) as { words: string[] }).words
  }

  /** Entries in several files of a log, and a document with versions, a fork and its end. */
  async function keepHistory(): Promise<void> {
    const desk = clientOf(homeNamed('desk'))
    const { log, document } = SECRETS
    await command('desk', 'log', 'append', log, `${SECRETS.entry} of a command`)
    const entries = Array.from({ length: 50 }, (_, n) => `${n} ${`${SECRETS.entry} `.repeat(200)}`)
    for (let n = 0; n < 4; n++) await desk.logAppend({ log, entries })
    assert.ok((await desk.logStatus({ log })).log.segments > 3)
    const draft = join(folder, 'draft')
    await writeFile(draft, `${SECRETS.draft} first`)
    await command('desk', 'docs', 'put', document, draft)
    const { version } = await desk.docsGet({ document })
    for (const content of ['second', 'another second'])
      await desk.docsPut({
        document,
        content: `${SECRETS.draft} `.repeat(99) + content,
        parent: version.id,
        allowsFork: true,
      })
    const { heads } = (await desk.docsHeads({ document })).state
    assert.equal(heads.length, 2)
    await desk.docsMerge({ document, content: `${SECRETS.draft} third`, parents: heads.map(({ id }) => id) })
  }

  /** Everything that keeps something, used. */
  async function use(): Promise<void> {
    const [desk, laptop] = [clientOf(homeNamed('desk')), clientOf(homeNamed('laptop'))]
    await writers.write(desk, { stepLimit: 150 })
    const { ticket } = await desk.invitesCreate({ accepts: 'automatically' })
    const { join: joining } = await laptop.joinsStart({ ticket, accepts: 'automatically', name: SECRETS.contact })
    for await (const { join: change } of laptop.joinsWatch({ joinId: joining.joinId })) {
      assert.notEqual(change.state, 'failed', change.code ?? '')
      if (change.state === 'joined') break
    }
    await desk.tokensCreate({ name: SECRETS.token, capabilities: ['kv.read'] })
    await laptop.forwardsStart({ peer: SECRETS.contact, service: SECRETS.service })
    await desk.forwardsExpose({ service: SECRETS.service, to: '127.0.0.1:9' })
    const api = await connect({ socketPath: homeOf({ env: { NZ_HOME: homeNamed('desk') } }).socketPath })
    const content = Buffer.from(`${SECRETS.content} `.repeat(20_000))
    for (const n of [1, 2]) await api.files.put(`${SECRETS.file}/${n}`, content.subarray(n), { mime: SECRETS.media })
    await mkdir(homeNamed('inbox'))
    await desk.transfersReceive({ directory: homeNamed('inbox') })
    await writeFile(homeNamed('sent'), content)
    const sent = { peer: SECRETS.contact, name: SECRETS.transfer, path: homeNamed('sent') }
    for await (const _ of laptop.transfersSendFile(sent)) continue
    await laptop.contactsRename({ contact: SECRETS.contact, name: SECRETS.renamed })
    await keepHistory()
    for await (const _ of desk.backupCreate({ full: true })) continue
  }

  /** Removes everything that can be removed. */
  async function tidy(): Promise<void> {
    const desk = clientOf(homeNamed('desk'))
    const api = await connect({ socketPath: homeOf({ env: { NZ_HOME: homeNamed('desk') } }).socketPath })
    await api.files.remove(`${SECRETS.file}/1`)
    await desk.filesCollect({})
    for (const { key } of (await desk.kvList({ limit: 1_000 })).records.slice(3)) await desk.kvDelete({ key })
    await clientOf(homeNamed('laptop')).contactsRemove({ contact: SECRETS.renamed })
    const { log, document } = SECRETS
    assert.ok((await desk.logTrim({ log, before: 200 })).segments > 1)
    await desk.logRotate({ log })
    await desk.logRepair({ log })
    await desk.docsDelete({ document })
    assert.equal((await desk.docsPrune({ document, keep: 0 })).pruned, 4)
    await desk.storageRotate({})
    await desk.storageGc({ quarantined: 0 })
  }

  async function assertNothing(when: string): Promise<number> {
    const needles = new Map<string, readonly Buffer[]>()
    for (const [heading, secret] of Object.entries(SECRETS)) needles.set(heading, spellings(Buffer.from(secret)))
    for (const name of nodes.keys()) {
      const words = await wordsOf(name)
      const runs = words.slice(2).map((_, at) => words.slice(at, at + 3).join(' '))
      needles.set(
        `words of ${name}`,
        runs.flatMap((run) => spellings(Buffer.from(run))),
      )
    }
    let files = 0
    for (const name of nodes.keys()) {
      const found = await readdir(homeNamed(name), { recursive: true, withFileTypes: true })
      for (const entry of found) {
        if (!entry.isFile()) continue
        const path = join(entry.parentPath, entry.name)
        const bytes = await readFile(path)
        assertWithout(needles, bytes, `${when}: ${path}`)
        // Blocks that LevelDB has compressed would hide it.
        if (extname(path) === '.ldb') for (const block of compressedBlocks(bytes)) assertWithout(needles, block, path)
        files += 1
      }
      const pid = nodes.get(name)?.child.pid
      for (const shown of process.platform === 'linux' ? ['environ', 'cmdline', 'comm'] : []) {
        assertWithout(needles, await readFile(`/proc/${pid}/${shown}`), `${when}: ${shown}`)
      }
    }
    return files
  }

  it('says nothing while it is used, after kills, after a start, and after everything was deleted', async (t) => {
    await use()
    const { recorder } = await clientOf(homeNamed('desk')).logList({})
    assert.ok(recorder.recorded > 10 && recorder.dropped === 0, JSON.stringify(recorder))
    const counts = [await assertNothing('used')]
    for (const name of ['desk', 'laptop']) await restart(name)
    assert.equal(await writers.settle(clientOf(homeNamed('desk'))), null)
    counts.push(await assertNothing('killed'))
    await tidy()
    counts.push(await assertNothing('tidied up'))
    for (const name of ['desk', 'laptop']) await restart(name)
    counts.push(await assertNothing('killed again'))
    t.diagnostic(`seed ${seed}: ${counts.join(', ')} files`)
  })

  it('would be found to say something', () => {
    for (const secret of Object.values(SECRETS)) {
      const needles = new Map([['it', spellings(Buffer.from(secret))]])
      for (const said of [
        `x${secret}y`,
        Buffer.from(`..${secret}..`).toString('base64'),
        Buffer.from(`.${secret}.`).toString('hex'),
        Buffer.from(secret, 'utf16le').toString('latin1'),
      ]) {
        assert.throws(() => assertWithout(needles, Buffer.from(said, 'latin1'), 'here'))
      }
    }
  })
})

function assertWithout(
  needles: ReadonlyMap<string, readonly Buffer[]>,
  bytes: Buffer | Uint8Array,
  where: string,
): void {
  const hay = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (const [heading, spelled] of needles) {
    for (const needle of spelled) assert.equal(hay.includes(needle), false, `${heading} lies in ${where}`)
  }
}

/** As it is, in hexadecimal, in base64 wherever it begins, and in two bytes a letter. */
function spellings(secret: Buffer): readonly Buffer[] {
  const text = secret.toString('latin1')
  const wide = Buffer.from(text, 'utf16le')
  const shifted = [0, 1, 2].map((before) => {
    const coded = Buffer.concat([Buffer.alloc(before), secret]).toString('base64')
    // Letters at both ends say something of the bytes beside it as well.
    return Buffer.from(coded.slice(before === 0 ? 0 : before + 1, -4))
  })
  return [
    secret,
    Buffer.from(secret.toString('hex')),
    Buffer.from(secret.toString('hex').toUpperCase()),
    wide,
    Buffer.from(wide).swap16(),
    ...shifted,
  ]
}

/** The blocks of a table of LevelDB that are compressed, opened. */
function compressedBlocks(table: Buffer): readonly Uint8Array[] {
  const footer = new Varints(table, table.byteLength - 48, table.byteLength - 8)
  const [metaindex, index] = [footer.handle(), footer.handle()]
  const opened = (block: { offset: number; size: number } | null): Uint8Array => {
    if (block === null) return new Uint8Array()
    const bytes = table.subarray(block.offset, block.offset + block.size)
    return (table[block.offset + block.size] === 1 ? unsnappy(bytes) : bytes) ?? new Uint8Array()
  }
  const listed = opened(index)
  const restarts = new DataView(listed.buffer, listed.byteOffset).getUint32(listed.byteLength - 4, true)
  const reader = new Varints(listed, 0, listed.byteLength - 4 - 4 * restarts)
  const blocks = [opened(metaindex), listed]
  while (!reader.isAtEnd) {
    const [, own] = [reader.next(), reader.next(), reader.next()]
    reader.at += own ?? 0
    blocks.push(opened(reader.handle()))
  }
  return blocks
}
