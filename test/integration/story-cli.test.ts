/** Two people, two machines, one file each way, with real processes through the command line. 64 MiB; NZ_FULL=1: 1 GiB. */
import assert from 'node:assert/strict'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { lastDocument } from './story/machine.ts'
import type { Machine, Outcome } from './story/machine.ts'
import { sha256Of } from './story/sample-file.ts'
import { FILE_NAME, MIB, STORY_BYTES, TwoMachines } from './story/two-machines.ts'

describe('two machines, through the command line', { timeout: 900_000 }, () => {
  let both: TwoMachines
  let desk: Machine
  let laptop: Machine

  before(async () => {
    both = await TwoMachines.create({ bytes: STORY_BYTES })
    ;({ desk, laptop } = both)
  })

  after(async () => await both.close())

  const contactOf = async (machine: Machine): Promise<string> => {
    const { contacts } = (await machine.json('contacts')) as { contacts: ReadonlyArray<{ name: string }> }
    assert.equal(contacts.length, 1)
    return contacts[0]?.name ?? ''
  }

  const assertReceived = async (outcome: Outcome, path: string): Promise<void> => {
    assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr)
    assert.equal(JSON.stringify(lastDocument(outcome.stdout)).includes(both.sample.sha256), true, outcome.stdout)
    assert.match(outcome.stdout, /rcp_/)
    assert.equal((await stat(path)).size, STORY_BYTES)
    assert.equal(await sha256Of(path), both.sample.sha256)
  }

  it('start, each with its own identity', async () => {
    const [one, other] = await Promise.all([desk.json('up'), laptop.json('up')])
    assert.match(String(one['id']), /^nz1/)
    assert.notEqual(one['id'], other['id'])
    const again = await desk.json('up')
    assert.equal(again['pid'], one['pid'], 'a second up starts a second node')
  })

  it('meet by an invite, which works once', async () => {
    const { ticket } = await desk.json('invite', '--yes', '--no-wait')
    assert.match(String(ticket), /^nzi1/)
    const joined = await laptop.json('join', String(ticket), '--yes')
    assert.equal((joined as { join: { state: string } }).join.state, 'joined')
    const second = await laptop.run('join', String(ticket), '--yes', '--json')
    assert.notEqual(second.code, 0)
    assert.match(second.stdout, /NZ_INVITE_USED/)
  })

  it('see and reach each other', async () => {
    for (const machine of [desk, laptop]) {
      const status = await machine.json('status')
      assert.equal(status['connected'], 1)
      const name = await contactOf(machine)
      assert.equal((await machine.run('ping', name, '-c', '3')).code, 0)
    }
  })

  for (const [from, to] of [
    ['desk', 'laptop'],
    ['laptop', 'desk'],
  ] as const) {
    it(`send a file from ${from} to ${to}, confirmed, within memory`, async (t) => {
      const [sender, receiver] = from === 'desk' ? [desk, laptop] : [laptop, desk]
      const inbox = await both.folder(`${to}-inbox`)
      const receive = receiver.start('receive', '--to', inbox, '--once', '--json')
      const send = sender.start('send', await contactOf(sender), FILE_NAME, both.samplePath, '--json')
      const ended = Promise.all([send.outcome, receive.outcome])
      const [sent, received] = await both.withinMemory(ended, (figures) => t.diagnostic(figures))
      assert.equal(received.code, 0, received.stdout + received.stderr)
      await assertReceived(sent, join(inbox, FILE_NAME))
    })
  }

  it('go on where they stopped after the receiver was killed', async () => {
    const inbox = await both.folder('killed-inbox')
    const receive = laptop.start('receive', '--to', inbox, '--json')
    const before = both.tap.bytes()
    const half = both.tap.holdAfter(STORY_BYTES / 2)
    const send = desk.start('send', await contactOf(desk), FILE_NAME, both.samplePath, '--json')
    await half
    await laptop.kill()
    both.tap.release()
    const names = await readdir(inbox)
    assert.equal(names.includes(FILE_NAME), false, 'half a file under its final name')
    await laptop.json('up')
    const sent = await send.outcome
    await assertReceived(sent, join(inbox, FILE_NAME))
    receive.child.kill('SIGINT')
    const received = await receive.outcome
    assert.match(received.stdout, /nz\.received\/1/, 'receive did not see the file after the restart of its node')
    const carried = both.tap.bytes() - before
    assert.ok(carried < STORY_BYTES * 1.5, `${(carried / MIB).toFixed(0)} MiB went over the wire`)
  })

  it('show nothing of it to the wire', async () => {
    await Promise.all([desk.json('down'), laptop.json('down')])
    await both.assertSecret(2.5 * STORY_BYTES)
  })

  it('stop, and leave no process and no lock', async () => {
    for (const machine of [desk, laptop]) {
      assert.equal((await machine.run('status')).code, 3)
      assert.ok(!(await readdir(join(machine.home, 'state', 'default'))).includes('lock'))
    }
  })
})
