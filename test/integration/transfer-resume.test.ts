/**
 * Transfers between two real daemons that are killed: the receiver in the middle of a file and of a stream, the sender
 * and then a new send of the same file. 64 MiB each; the same bytes arrive, none of a partial file under its final name.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { lastDocument } from './story/machine.ts'
import type { Machine } from './story/machine.ts'
import { sha256Of } from './story/sample-file.ts'
import { MIB, TwoMachines } from './story/two-machines.ts'

const SIZE = 64 * MIB
const launcher = resolve(import.meta.dirname, '../../cli/nzcore.js')

describe('a transfer whose daemons are killed', { timeout: 300_000 }, () => {
  let both: TwoMachines
  let desk: Machine
  let laptop: Machine

  before(async () => {
    both = await TwoMachines.create({ bytes: SIZE })
    ;({ desk, laptop } = both)
    await Promise.all([desk.json('up'), laptop.json('up')])
    const { ticket } = await desk.json('invite', '--yes', '--no-wait')
    await laptop.json('join', String(ticket), '--yes', '--as', 'desk')
    const { contacts } = (await desk.json('contacts')) as { contacts: ReadonlyArray<{ id: string }> }
    await desk.json('contacts', 'rename', contacts[0]?.id ?? '', 'laptop')
  })

  after(async () => await both.close())

  /**
   * Half a file is on its way and no byte of the rest until `both.tap.release()`. Resolves when a good part of it is on
   * the disk of the laptop. To be called before the send.
   */
  const halfOf = async (inbox: string): Promise<void> => {
    await both.tap.holdAfter(SIZE / 2)
    for (;;) {
      const part = (await readdir(inbox)).find((name) => name.endsWith('.part'))
      const written = part === undefined ? 0 : (await stat(join(inbox, part))).size
      if (written > SIZE / 4) return
      await new Promise((done) => setTimeout(done, 5))
    }
  }

  const inboxOf = async (name: string): Promise<string> => {
    const directory = await both.folder(name)
    const { inbox } = (await laptop.json('receive', '--to', directory, '--detach')) as { inbox: { id: string } }
    inboxes.push(inbox.id)
    return directory
  }
  const inboxes: string[] = []
  const closeInboxes = async (): Promise<void> => {
    for (const id of inboxes.splice(0)) await laptop.json('receive', 'stop', id)
  }

  it('goes on with a file after kill -9 of the receiver', async () => {
    const inbox = await inboxOf('one')
    const half = halfOf(inbox)
    const send = desk.start('send', 'laptop', 'file.bin', both.samplePath, '--json')
    await half
    await laptop.kill()
    both.tap.release()
    assert.equal((await readdir(inbox)).includes('file.bin'), false)
    await laptop.json('up')
    const sent = await send.outcome
    assert.equal(sent.code, 0, sent.stdout + sent.stderr)
    const { transfer } = lastDocument(sent.stdout) as { transfer: { sha256: string; receipt: { id: string } } }
    assert.equal(transfer.sha256, both.sample.sha256)
    assert.match(transfer.receipt.id, /^rcp_/)
    assert.deepEqual(await readdir(inbox), ['file.bin'])
    assert.equal(await sha256Of(join(inbox, 'file.bin')), both.sample.sha256)
    await closeInboxes()
  })

  it('goes on with standard input, which cannot be read again', async () => {
    const inbox = await inboxOf('two')
    const half = halfOf(inbox)
    const child = spawn(process.execPath, [launcher, 'send', 'laptop', 'piped.bin', '-', '--json'], {
      env: desk.env,
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    let stdout = ''
    child.stdout.on('data', (text: Buffer) => void (stdout += text.toString()))
    const ended = new Promise<number | null>((done) => void child.on('close', done))
    createReadStream(both.samplePath).pipe(child.stdin)
    await half
    await laptop.kill()
    both.tap.release()
    await laptop.json('up')
    assert.equal(await ended, 0, stdout)
    assert.equal(await sha256Of(join(inbox, 'piped.bin')), both.sample.sha256)
    await closeInboxes()
  })

  it('goes on when the sender was killed and the file is sent again', async () => {
    const inbox = await inboxOf('three')
    const half = halfOf(inbox)
    const first = desk.start('send', 'laptop', 'again.bin', both.samplePath, '--json')
    await half
    await desk.kill()
    both.tap.release()
    assert.notEqual((await first.outcome).code, 0)
    await desk.json('up')
    while (Number((await desk.json('status'))['connected']) === 0) await new Promise((done) => setTimeout(done, 50))
    const again = await desk.run('send', 'laptop', 'again.bin', both.samplePath, '--json')
    assert.equal(again.code, 0, again.stdout + again.stderr)
    assert.deepEqual(await readdir(inbox), ['again.bin'])
    assert.equal(await sha256Of(join(inbox, 'again.bin')), both.sample.sha256)
    await closeInboxes()
  })
})
