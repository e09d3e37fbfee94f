/** Event logs and documents of a whole node: events recorded, damage that stops nothing, exports proven elsewhere. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { checkLogExport } from '../../cli/node.ts'
import { createNode } from '../../sdk/node.ts'
import type { NzNode } from '../../sdk/nz-node.ts'

const signal = AbortSignal.timeout(120_000)
const settings = { 'network.listen': ['/ip4/127.0.0.1/tcp/0'], 'eventlog.record.enabled': true }

async function withHome(work: (home: string, open: () => Promise<NzNode>) => Promise<void>): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), 'nz-log-node-'))
  try {
    await work(home, async () => await createNode({ env: { NZ_HOME: home }, settings }))
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

async function proofOf(node: NzNode, log: string) {
  for await (const item of node.api.logVerify({ log }, { signal })) if (item.type === 'proof') return item
  throw new Error('no proof')
}

/** Every segment of every log but the one that holds events. */
async function segmentsOf(home: string): Promise<readonly string[]> {
  const dir = join(home, 'state', 'default', 'eventlog')
  const found = await readdir(dir, { recursive: true })
  return found.filter((name) => name.endsWith('.seg')).map((name) => join(dir, name))
}

it('records the events of the node, over restarts', async () => {
  await withHome(async (_, open) => {
    for (let run = 1; run <= 2; run++) {
      await using node = await open()
      let starts = 0
      const names: string[] = []
      for await (const item of node.api.logTail({ log: 'events', after: 0 }, { signal })) {
        if (item.type !== 'entry') continue
        if (item.payload.startsWith('{"recording":"started"')) starts += 1
        if (item.kind === 'event') names.push(nameOf(item.payload))
        if (starts === run && item.payload.includes('"name":"kernel.started"')) break
      }
      assert.ok(names.includes('identity.created') && names.includes('kernel.moduleStateChanged'))
      const { logs, recorder } = await node.api.logList({}, { signal })
      assert.deepEqual([logs.length, recorder.isOn, recorder.dropped], [1, true, 0])
    }
  })
})

it('starts with a damaged log, says what is affected, keeps the rest working, and goes on after a repair', async () => {
  await withHome(async (home, open) => {
    {
      await using node = await open()
      for (const entries of [['one'], ['two'], ['three']]) {
        await node.api.logAppend({ log: 'audit', entries }, { signal })
        await node.api.logRotate({ log: 'audit' }, { signal })
      }
    }
    // The second file of the log that has several.
    const [hurt = ''] = (await segmentsOf(home)).filter((path) => /00000002-[0-9a-f]+\.seg$/.test(path))
    const content = await readFile(hurt)
    content[content.length - 3] = (content[content.length - 3] ?? 0) ^ 1
    await writeFile(hurt, content)
    await using node = await open()
    const proof = await proofOf(node, 'audit')
    assert.deepEqual([proof.isIntact, proof.damaged[0]?.from, proof.damaged[0]?.to], [false, 2, 2])
    assert.equal((await proofOf(node, 'events')).isIntact, true)
    assert.equal((await node.api.logStatus({ log: 'audit' }, { signal })).log.code, 'NZ_LOG_DAMAGED')
    const behind = node.api.logRead({ log: 'audit', after: 1 }, { signal })
    await assert.rejects(behind, { code: 'NZ_LOG_DAMAGED', exit: 'damaged' })
    const { items, damage } = await node.api.logRead({ log: 'audit' }, { signal })
    assert.deepEqual([items.length, typeof damage], [1, 'string'])
    assert.equal(items[0]?.type === 'entry' ? items[0].payload : '', 'one')
    assert.equal((await node.api.logAppend({ log: 'audit', entries: ['four'] }, { signal })).first, 4)
    assert.deepEqual((await node.api.logRepair({ log: 'audit' }, { signal })).lost, [{ from: 2, to: 2 }])
    assert.equal((await proofOf(node, 'audit')).isIntact, true)
    const told = ['eventlog.repaired', 'eventlog.damaged']
    for await (const item of node.api.logTail({ log: 'events', after: 0 }, { signal })) {
      if (item.type === 'entry' && item.kind === 'event' && nameOf(item.payload) === told.at(-1)) told.pop()
      if (told.length === 0) break
    }
  })
})

it('exports what proves itself elsewhere, and notices forgery', async () => {
  await withHome(async (_, open) => {
    await using node = await open()
    await node.api.logAppend({ log: 'audit', entries: ['one', 'two'] }, { signal })
    const lines: string[] = []
    for await (const line of node.api.logExport({ log: 'audit' }, { signal })) lines.push(JSON.stringify(line))
    const { entries, peerId } = await checkLogExport(each(lines))
    assert.deepEqual([entries, peerId], [2, (await node.status()).peerId])
    const forged = lines.map((line) => line.replace('"two"', '"six"'))
    await assert.rejects(checkLogExport(each(forged)), { code: 'NZ_LOG_EXPORT_INVALID' })
    const another = lines.map((line) => line.replace(/"atMs":\d+\}$/, '"atMs":1}'))
    await assert.rejects(checkLogExport(each(another)), { code: 'NZ_LOG_EXPORT_INVALID' })
  })
})

it('keeps documents and tells of forks', async () => {
  await withHome(async (_, open) => {
    let root = ''
    {
      await using node = await open()
      root = (await node.api.docsPut({ document: 'plan', content: 'root' }, { signal })).version.id
      await node.api.docsPut({ document: 'plan', content: 'left', parent: root }, { signal })
      const right = { document: 'plan', content: 'right', parent: root, allowsFork: true }
      const { version } = await node.api.docsPut(right, { signal })
      for await (const event of node.events({ after: '0-0', signal })) {
        if (event.kind !== 'event' || event.name !== 'documents.forked') continue
        const { parent, children } = event.payload as { parent: string; children: readonly string[] }
        assert.deepEqual([parent, children.length, children.includes(version.id)], [root, 2, true])
        break
      }
    }
    await using node = await open()
    const { state } = await node.api.docsHeads({ document: 'plan' }, { signal })
    assert.deepEqual([state.isForked, state.versions, state.forks], [true, 3, 1])
  })
})

function nameOf(payload: string): string {
  return (JSON.parse(payload) as { name: string }).name
}

async function* each(lines: readonly string[]): AsyncGenerator<string> {
  for (const line of lines) yield await Promise.resolve(line)
}
