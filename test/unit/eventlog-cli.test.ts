/** `nzcore log` and `nzcore docs` over the contract and the handlers. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { ExportCheck } from '../../protocols/eventlog/export.ts'
import { runCli } from '../fake/cli.ts'
import { fakeIdentity } from '../fake/identity.ts'
import { startApiNode } from '../fake/node.ts'

const signal = AbortSignal.timeout(60_000)

it('appends, reads, proves, exports and lists', async () => {
  await using node = await startApiNode()
  const { client } = node
  assert.match((await runCli(['log', 'list'], { client })).stdout, /^no event logs/)
  const appended = await runCli(['log', 'append', 'audit', 'door opened'], { client })
  assert.equal(appended.stderr, '')
  assert.match(appended.stdout, /^✔ entry 1 {2}[0-9a-f]{64}\n$/)
  const lines = await runCli(['log', 'append', 'audit', '--json'], {
    client,
    stdin: stdinOf('one\ntwo\n', 'three \u202e\n'),
  })
  assert.deepEqual(pick(lines.stdout, ['schema', 'first', 'last']), ['nz.logAppended/1', 2, 4])
  const read = await runCli(['log', 'read', 'audit'], { client })
  assert.match(read.stdout, /^1 {2}\d\d:\d\d:\d\d {2}door opened\n2 .*one\n3 .*two\n4 .*three \\u\{202e\}\n$/)
  const last = await runCli(['log', 'read', 'audit', '--last', '1', '--json'], { client })
  assert.equal((JSON.parse(last.stdout) as { items: unknown[] }).items.length, 1)
  const limited = await runCli(['log', 'read', 'audit', '--after', '1', '--limit', '2'], { client })
  assert.match(limited.stdout, /more: --after 3\n$/)
  assert.equal((await runCli(['log', 'rotate', 'audit'], { client })).code, 0)
  const proof = await runCli(['log', 'verify', 'audit'], { client })
  assert.equal(proof.code, 0)
  assert.match(proof.stdout, /^✔ audit: 4 entries proven {2}[0-9a-f]{64}\n$/)
  assert.deepEqual(pick((await runCli(['log', 'verify', '--json'], { client })).stdout, ['schema']), ['nz.logProofs/1'])
  assert.match(
    (await runCli(['log', 'list'], { client })).stdout,
    /^LOG +ENTRIES +SIZE +STATE\naudit +1 to 4 +\S+ \S+ +open\n$/,
  )
  assert.match((await runCli(['log', 'status', 'audit'], { client })).stdout, /^✔ audit open\nentries 1 to 4 · 2 files/)
  assert.match((await runCli(['log', 'trim', 'audit', '--before', '5'], { client })).stdout, /^✔ deleted 1 files/)
  assert.match((await runCli(['log', 'read', 'audit'], { client })).stdout, /^! entries 1 to 4 are deleted as old\n/)
  assert.equal((await runCli(['log', 'read', 'none'], { client })).code, 5)
  assert.equal((await runCli(['log', 'append', '../x', 'y'], { client })).code, 2)
  const dash = await runCli(['log', 'append', 'dash', '-', '--json'], { client, stdin: stdinOf('one\ntwo\n') })
  assert.deepEqual(pick(dash.stdout, ['first', 'last']), [1, 2])
})

it('follows a log from now on', async () => {
  await using node = await startApiNode()
  await node.client.logAppend({ log: 'audit', entries: ['before'] }, { signal })
  const seen: string[] = []
  for await (const item of node.client.logTail({ log: 'audit', after: 0 }, { signal })) {
    seen.push(item.type === 'entry' ? item.payload : item.type)
    if (seen.length === 1) await node.client.logAppend({ log: 'audit', entries: ['after'] }, { signal })
    if (seen.length === 2) break
  }
  assert.deepEqual(seen, ['before', 'after'])
})

it('exports what can be checked without the log, and notices every change of it', async () => {
  await using node = await startApiNode()
  const { client } = node
  await client.logAppend({ log: 'audit', entries: ['one', 'two', 'thrée \u202e'] }, { signal })
  await client.logAppend({ log: 'audit', entries: ['/wA='], encoding: 'base64' }, { signal })
  for (const [after, entries] of [
    ['0', 4],
    ['2', 2],
    ['4', 0],
  ] as const) {
    const { stdout, code } = await runCli(['log', 'export', 'audit', '--after', after], { client })
    assert.equal(code, 0)
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => {
        const { schema: _, ...rest } = JSON.parse(line) as Record<string, unknown>
        return rest
      })
    assert.equal(provenBy(lines)?.entries, entries)
    for (const at of lines.keys()) {
      assert.equal(provenBy(lines.filter((_, index) => index !== at)), null)
      const changes = Object.entries(lines[at] ?? {}).filter(([key]) => key !== 'format' && key !== 'type')
      for (const [key, value] of changes) {
        const other = typeof value === 'number' ? value + 1 : changedText(String(value))
        const changed = lines.map((line, index) => (index === at ? { ...line, [key]: other } : line))
        assert.equal(provenBy(changed), null, `${key} of line ${at}`)
      }
    }
  }
})

it('checks a file of an export without a node', async () => {
  await using node = await startApiNode()
  const dir = await mkdtemp(join(tmpdir(), 'nz-export-'))
  try {
    await node.client.logAppend({ log: 'audit', entries: ['one'] }, { signal })
    const { stdout } = await runCli(['log', 'export', 'audit'], { client: node.client })
    const file = join(dir, 'audit.jsonl')
    await writeFile(file, stdout.replace('one', 'two'))
    const forged = await runCli(['log', 'verify', '--export', file])
    assert.equal(forged.code, 11)
    assert.match(forged.stderr, /entry 1 has another hash/)
    await writeFile(file, '')
    assert.equal((await runCli(['log', 'verify', '--export', file])).code, 11)
    assert.equal((await runCli(['log', 'verify', '--export', join(dir, 'none')])).code, 5)
    assert.equal((await runCli(['log', 'verify', '--export', dir])).code, 5)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})

it('keeps documents: puts, forks, merges, lists and deletes', async () => {
  await using node = await startApiNode()
  const { client } = node
  const put = async (content: string, ...more: string[]) =>
    await runCli(['docs', 'put', 'notes', '-', ...more, '--json'], { client, stdin: stdinOf(content) })
  const idOf = (stdout: string): string => (JSON.parse(stdout) as { version: { id: string } }).version.id
  const root = idOf((await put('root')).stdout)
  for (const unreadable of ['no/such/file', '/']) {
    const refused = await runCli(['docs', 'put', 'other', unreadable, '--json'], { client })
    assert.deepEqual([pick(refused.stdout, ['code']), refused.code], [['NZ_CLI_FILE_UNREADABLE'], 5])
  }
  assert.equal((await put('again')).code, 10)
  const left = idOf((await put('left', '--parent', 'head')).stdout)
  assert.equal((await put('right', '--parent', root)).code, 10)
  const right = idOf((await put('right', '--parent', root, '--fork')).stdout)
  const heads = await runCli(['docs', 'heads', 'notes'], { client })
  assert.match(heads.stdout, /^notes: forked: 2 heads, 3 versions\nHEAD /)
  assert.equal((await runCli(['docs', 'get', 'notes'], { client })).code, 10)
  assert.equal((await runCli(['docs', 'get', 'notes', '--version', left.slice(0, 12)], { client })).stdout, 'left')
  const merged = await runCli(['docs', 'merge', 'notes', '-', '--parents', `${left},${right}`], {
    client,
    stdin: stdinOf('both'),
  })
  assert.match(merged.stdout, /^✔ notes version 3 \(merge [0-9a-f]{12}\)\n$/)
  assert.equal((await runCli(['docs', 'get', 'notes'], { client })).stdout, 'both')
  const history = await runCli(['docs', 'history', 'notes'], { client })
  assert.equal(history.stdout.match(/forked here/g)?.length, 1)
  assert.match(
    (await runCli(['docs', 'list'], { client })).stdout,
    /^DOCUMENT +HEAD +VERSIONS +STATE\nnotes +[0-9a-f]{12} +4 +ok\n$/,
  )
  assert.match((await runCli(['docs', 'prune', 'notes', '--keep', '0'], { client })).stdout, /^✔ dropped 3 contents/)
  assert.match((await runCli(['docs', 'rm', 'notes'], { client })).stdout, /^✔ deleted notes; its history stays/)
  assert.equal((await runCli(['docs', 'get', 'notes'], { client })).code, 5)
  assert.match((await runCli(['docs', 'list', '--deleted'], { client })).stdout, /notes .* deleted/)
})

async function* stdinOf(...parts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield await Promise.resolve(Buffer.from(part))
}

function pick(stdout: string, keys: readonly string[]): readonly unknown[] {
  const document = JSON.parse(stdout) as Record<string, unknown>
  return keys.map((key) => document[key])
}

/** What lines prove; `null` when they prove nothing. */
function provenBy(lines: readonly unknown[]): ExportCheck['proven'] {
  const identity = fakeIdentity(1)
  const check = new ExportCheck((message, signature, key) =>
    identity.verify('nzcore/log-export/1', message, signature, key),
  )
  try {
    for (const line of lines) check.push(line)
  } catch (error) {
    assert.ok(error instanceof Error)
    return null
  }
  return check.proven
}

function changedText(text: string): string {
  const at = Math.floor(text.length / 2)
  return `${text.slice(0, at)}${text[at] === '1' ? '2' : '1'}${text.slice(at + 1)}`
}
