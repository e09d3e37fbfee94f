import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { systemClock } from '../../kernel/index.ts'
import { createJournal, MAX_RECENT_RECORDS } from '../../modules/logs/journal.ts'
import { homeErrors } from '../../modules/home/service.ts'

let dir: string
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'nz-logs-'))))
afterEach(() => rmSync(dir, { recursive: true, force: true }))

function journalIn(folder: string, maxFileBytes = 65_536) {
  return createJournal({
    level: 'info',
    clock: systemClock,
    file: { dir: folder, name: 'nzcore.log', maxFileBytes, maxFiles: 3 },
  })
}

describe('the log file', () => {
  it('holds one line of JSON a record and is readable by its owner alone', () => {
    const journal = journalIn(join(dir, 'log'))
    journal.info('network.peerConnected', { peerId: 'x', rttMs: 23 })
    journal.close()
    const path = join(dir, 'log', 'nzcore.log')
    const { level, event, fields, time } = JSON.parse(readFileSync(path, 'utf8'))
    assert.deepEqual(
      { level, event, fields },
      { level: 'info', event: 'network.peerConnected', fields: { peerId: 'x', rttMs: 23 } },
    )
    assert.ok(!Number.isNaN(Date.parse(time)))
    assert.equal(statSync(path).mode & 0o777, 0o600)
    assert.equal(statSync(join(dir, 'log')).mode & 0o777, 0o700)
  })

  it('is set aside when it is full, and only so many are kept', () => {
    const journal = journalIn(dir, 1_000)
    for (let index = 0; index < 100; index += 1) journal.info('test.line', { index })
    journal.close()
    assert.deepEqual(readdirSync(dir).sort(), ['nzcore.log', 'nzcore.log.1', 'nzcore.log.2'])
    for (const name of readdirSync(dir)) assert.ok(statSync(join(dir, name)).size <= 1_000)
    assert.match(readFileSync(join(dir, 'nzcore.log'), 'utf8'), /"index":99/)
  })

  it('names nobody and no file of others; what is in memory does', () => {
    const journal = journalIn(join(dir, 'log'))
    const peerId = '12D3KooWEUZ2X4DZeLq4Jf6yWuRTfmFe4g8nBZLuZ9CvnJdXxjPW'
    const own = join(dir, 'contacts.json')
    const failed = new Error(`ENOENT: no such file or directory, open '/nowhere/ada/plan.pdf' and '${own}'`)
    const refused = homeErrors.NZ_HOME_UNREADABLE({
      why: `dial ${peerId} at /ip4/192.0.2.7/tcp/4001`,
      data: { path: own },
    })
    journal.info('test.names', { peerId, name: 'plan.pdf', peer: 'desk', addresses: ['/ip4/192.0.2.7/tcp/4001'] })
    journal.error('test.errors', { failed, refused, peers: [peerId, { directory: '/nowhere/ada/inbox' }], bytes: 7 })
    journal.close()
    const text = readFileSync(join(dir, 'log', 'nzcore.log'), 'utf8')
    for (const secret of [peerId, 'plan.pdf', 'desk', '192.0.2.7', '/nowhere/ada']) {
      assert.equal(text.includes(secret), false, secret)
      assert.ok(JSON.stringify(journal.recent({ limit: 10 })).includes(secret), secret)
    }
    assert.ok(text.split(own).length > 2, 'paths of the node itself stay')
    assert.equal(new Set(text.match(/peer-[0-9a-f]{8}/g)).size, 1, 'a peer is the same one throughout')
  })

  it('counts what a full disk loses and goes on afterwards', () => {
    writeFileSync(join(dir, 'blocked'), '')
    const journal = journalIn(join(dir, 'blocked'))
    journal.error('test.lost')
    assert.equal(journal.unwritten, 1)
    rmSync(join(dir, 'blocked'))
    journal.error('test.kept')
    assert.equal(journal.unwritten, 1)
    assert.match(readFileSync(join(dir, 'blocked', 'nzcore.log'), 'utf8'), /test\.kept/)
  })
})

describe('records', () => {
  it('below the level are not kept, and the level can change', () => {
    const journal = createJournal({ level: 'warn', clock: systemClock })
    journal.info('test.quiet')
    journal.level = 'debug'
    journal.debug('test.loud')
    assert.deepEqual(
      journal.recent({ limit: 10 }).map(({ event }) => event),
      ['test.loud'],
    )
  })

  it('hide secrets and bytes, bound what they hold, and keep what an error tells', () => {
    const journal = createJournal({ level: 'debug', clock: systemClock })
    const cyclic: Record<string, unknown> = {}
    cyclic['self'] = cyclic
    journal.info('test.fields', {
      passphrase: 'correct horse',
      nested: { clusterSecret: 'x', apiToken: 'y', token: 'z', count: 1n },
      key: new Uint8Array(32),
      long: 'a'.repeat(10_000),
      cyclic,
      error: homeErrors.NZ_HOME_LOCKED({ why: 'pid 7', data: { pid: 7 }, cause: new Error('inner') }),
    })
    const text = JSON.stringify(journal.recent({ limit: 1 })[0]?.fields)
    for (const secret of ['correct horse', '"x"', '"z"']) assert.ok(!text.includes(secret), secret)
    assert.ok(text.length < 10_000)
    for (const told of ['NZ_HOME_LOCKED', 'pid 7', 'inner', '<32 bytes>', '"count":"1"'])
      assert.ok(text.includes(told), told)
  })

  it('are bounded in memory, and a slow reader is told what it missed', async () => {
    const journal = createJournal({ level: 'debug', clock: systemClock })
    const controller = new AbortController()
    const reader = journal.follow({ signal: controller.signal, afterId: 0 })[Symbol.asyncIterator]()
    for (let index = 0; index < MAX_RECENT_RECORDS + 5; index += 1) journal.debug('test.flood', { index })
    assert.equal(journal.recent({ limit: 1_000_000 }).length, MAX_RECENT_RECORDS)
    assert.deepEqual((await reader.next()).value, { missed: 5, untilId: 5 })
    assert.equal((await reader.next()).value.id, 6)
    controller.abort()
  })

  it('reach a reader as they come, by level', async () => {
    const journal = createJournal({ level: 'debug', clock: systemClock })
    const controller = new AbortController()
    const seen: string[] = []
    const reading = (async () => {
      for await (const record of journal.follow({ signal: controller.signal, level: 'warn' })) {
        if ('event' in record) seen.push(record.event)
        if (seen.length === 2) controller.abort()
      }
    })()
    await Promise.resolve()
    journal.warn('test.one')
    journal.info('test.skipped')
    journal.error('test.two')
    await reading
    assert.deepEqual(seen, ['test.one', 'test.two'])
  })
})
