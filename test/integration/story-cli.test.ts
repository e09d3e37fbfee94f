/**
 * Two people, two machines, one file each way, with real processes through the command line. Everything they say to
 * each other goes through a relay that records it. 64 MiB; NZ_FULL=1: 1 GiB.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { lastDocument, Machine, peakMemory } from './story/machine.ts'
import type { Outcome } from './story/machine.ts'
import { sha256Of, writeSampleFile } from './story/sample-file.ts'
import type { SampleFile } from './story/sample-file.ts'
import { createWireTap, findAnyWindow } from './story/wire-tap.ts'
import type { WireTap } from './story/wire-tap.ts'

const MIB = 1_048_576
const SIZE = (process.env['NZ_FULL'] === undefined ? 64 : 1_024) * MIB
const MAX_MEMORY_BYTES = 200_000_000
const FILE_NAME = 'a-name-that-nobody-else-would-choose.bin'

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

describe('two machines, through the command line', { timeout: 900_000 }, () => {
  let base = ''
  let desk: Machine
  let laptop: Machine
  let tap: WireTap
  let sample: SampleFile
  const at = (...parts: readonly string[]): string => join(base, ...parts)

  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'nzs-'))
    const port = await freePort()
    tap = await createWireTap(port, at('capture'))
    // The laptop listens nowhere and the desk tells only the relay's address, so no byte can go another way.
    const listen = `listen = ["/ip4/127.0.0.1/tcp/${port}"]\nannounce = ["/ip4/127.0.0.1/tcp/${tap.port}"]`
    desk = await Machine.create(at('desk'), `[network]\n${listen}\n`)
    laptop = await Machine.create(at('laptop'), '[network]\nlisten = []\n')
    sample = await writeSampleFile(at(FILE_NAME), SIZE)
  })

  after(async () => {
    for (const machine of [desk, laptop]) await machine.run('down')
    await tap.finish()
    await rm(base, { recursive: true, force: true })
  })

  const contactOf = async (machine: Machine): Promise<string> => {
    const { contacts } = (await machine.json('contacts')) as { contacts: ReadonlyArray<{ name: string }> }
    assert.equal(contacts.length, 1)
    return contacts[0]?.name ?? ''
  }

  /** Both daemons' peak memory while `work` runs. */
  const withinMemory = async <T>(work: Promise<T>): Promise<T> => {
    const [deskPid, laptopPid] = [await desk.pid(), await laptop.pid()]
    const both = await peakMemory(deskPid, peakMemory(laptopPid, work))
    for (const { peakBytes } of [both, both.result]) {
      assert.ok(peakBytes > 0 && peakBytes < MAX_MEMORY_BYTES, `${(peakBytes / 1e6).toFixed(0)} MB`)
    }
    return both.result.result
  }

  const assertReceived = async (outcome: Outcome, path: string): Promise<void> => {
    assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr)
    assert.equal(JSON.stringify(lastDocument(outcome.stdout)).includes(sample.sha256), true, outcome.stdout)
    assert.match(outcome.stdout, /rcp_/)
    assert.equal((await stat(path)).size, SIZE)
    assert.equal(await sha256Of(path), sample.sha256)
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
    it(`send a file from ${from} to ${to}, confirmed, within memory`, async () => {
      const [sender, receiver] = from === 'desk' ? [desk, laptop] : [laptop, desk]
      const inbox = at(`${to}-inbox`)
      await mkdir(inbox)
      const receive = receiver.start('receive', '--to', inbox, '--once', '--json')
      const send = sender.start('send', await contactOf(sender), FILE_NAME, at(FILE_NAME), '--json')
      const [sent, received] = await withinMemory(Promise.all([send.outcome, receive.outcome]))
      assert.equal(received.code, 0, received.stdout + received.stderr)
      await assertReceived(sent, join(inbox, FILE_NAME))
    })
  }

  it('go on where they stopped after the receiver was killed', async () => {
    const inbox = at('killed-inbox')
    await mkdir(inbox)
    const receive = laptop.start('receive', '--to', inbox, '--json')
    const before = tap.bytes()
    const send = desk.start('send', await contactOf(desk), FILE_NAME, at(FILE_NAME), '--json')
    while (tap.bytes() - before < SIZE / 2) await new Promise((done) => setTimeout(done, 5))
    await laptop.kill()
    assert.deepEqual(
      (await readdir(inbox)).filter((name) => name === FILE_NAME),
      [],
      'half a file under its final name',
    )
    await laptop.json('up')
    const sent = await send.outcome
    await assertReceived(sent, join(inbox, FILE_NAME))
    receive.child.kill('SIGINT')
    const received = await receive.outcome
    assert.match(received.stdout, /nz\.received\/1/, 'receive did not see the file after the restart of its node')
    assert.ok(tap.bytes() - before < SIZE * 1.5, `${((tap.bytes() - before) / MIB).toFixed(0)} MiB went over the wire`)
  })

  it('show nothing of it to the wire', async () => {
    await Promise.all([desk.json('down'), laptop.json('down')])
    await tap.finish()
    assert.ok((await stat(at('capture'))).size > 2.5 * SIZE)
    assert.equal(await findAnyWindow(at('capture'), sample.secret), null)
    assert.equal(await findAnyWindow(at('capture'), Buffer.from(FILE_NAME)), null)
  })

  it('stop, and leave no process and no lock', async () => {
    for (const machine of [desk, laptop]) {
      assert.equal((await machine.run('status')).code, 3)
      assert.ok(!(await readdir(join(machine.home, 'state', 'default'))).includes('lock'))
    }
  })
})
