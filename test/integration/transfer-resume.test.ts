/**
 * Transfers between two real daemons that are killed: the receiver in the middle of a file and of a stream, the sender
 * and then a new send of the same file. 64 MiB each; the same bytes arrive, none of a partial file under its final name.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { lastDocument, Machine } from './story/machine.ts'
import { sha256Of, writeSampleFile } from './story/sample-file.ts'
import type { SampleFile } from './story/sample-file.ts'

const SIZE = 64 * 1_048_576
const launcher = resolve(import.meta.dirname, '../../cli/nzcore.js')

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

describe('a transfer whose daemons are killed', { timeout: 300_000 }, () => {
  let base = ''
  let desk: Machine
  let laptop: Machine
  let sample: SampleFile
  const at = (...parts: readonly string[]): string => join(base, ...parts)

  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'nzt-'))
    // The port must be the same after a restart; the laptop listens nowhere and comes back by itself.
    const local = `[network]\nlisten = ["/ip4/127.0.0.1/tcp/${await freePort()}"]\n`
    desk = await Machine.create(at('desk'), local)
    laptop = await Machine.create(at('laptop'), '[network]\nlisten = []\n')
    sample = await writeSampleFile(at('sample'), SIZE)
    await Promise.all([desk.json('up'), laptop.json('up')])
    const { ticket } = await desk.json('invite', '--yes', '--no-wait')
    await laptop.json('join', String(ticket), '--yes', '--as', 'desk')
    const { contacts } = (await desk.json('contacts')) as { contacts: ReadonlyArray<{ id: string }> }
    await desk.json('contacts', 'rename', contacts[0]?.id ?? '', 'laptop')
  })

  after(async () => {
    for (const machine of [desk, laptop]) await machine.run('down')
    await rm(base, { recursive: true, force: true })
  })

  /** Waits until a part of the file, and not the whole, is on the disk of the laptop. */
  const partial = async (inbox: string): Promise<void> => {
    for (;;) {
      const part = (await readdir(inbox)).find((name) => name.endsWith('.part'))
      const held = part === undefined ? 0 : (await stat(join(inbox, part))).size
      if (held > SIZE / 4) return
      await new Promise((done) => setTimeout(done, 5))
    }
  }

  const inboxOf = async (name: string): Promise<string> => {
    await mkdir(at(name))
    const { inbox } = (await laptop.json('receive', '--to', at(name), '--detach')) as { inbox: { id: string } }
    inboxes.push(inbox.id)
    return at(name)
  }
  const inboxes: string[] = []
  const closeInboxes = async (): Promise<void> => {
    for (const id of inboxes.splice(0)) await laptop.json('receive', 'stop', id)
  }

  it('goes on with a file after kill -9 of the receiver', async () => {
    const inbox = await inboxOf('one')
    const send = desk.start('send', 'laptop', 'file.bin', at('sample'), '--json')
    await partial(inbox)
    await laptop.kill()
    assert.equal((await readdir(inbox)).includes('file.bin'), false)
    await laptop.json('up')
    const sent = await send.outcome
    assert.equal(sent.code, 0, sent.stdout + sent.stderr)
    const { transfer } = lastDocument(sent.stdout) as { transfer: { sha256: string; receipt: { id: string } } }
    assert.equal(transfer.sha256, sample.sha256)
    assert.match(transfer.receipt.id, /^rcp_/)
    assert.deepEqual(await readdir(inbox), ['file.bin'])
    assert.equal(await sha256Of(join(inbox, 'file.bin')), sample.sha256)
    await closeInboxes()
  })

  it('goes on with standard input, which cannot be read again', async () => {
    const inbox = await inboxOf('two')
    const child = spawn(process.execPath, [launcher, 'send', 'laptop', 'piped.bin', '-', '--json'], {
      env: desk.env,
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    let stdout = ''
    child.stdout.on('data', (text: Buffer) => void (stdout += text.toString()))
    const ended = new Promise<number | null>((done) => void child.on('close', done))
    createReadStream(at('sample')).pipe(child.stdin)
    await partial(inbox)
    await laptop.kill()
    await laptop.json('up')
    assert.equal(await ended, 0, stdout)
    assert.equal(await sha256Of(join(inbox, 'piped.bin')), sample.sha256)
    await closeInboxes()
  })

  it('goes on when the sender was killed and the file is sent again', async () => {
    const inbox = await inboxOf('three')
    const first = desk.start('send', 'laptop', 'again.bin', at('sample'), '--json')
    await partial(inbox)
    await desk.kill()
    assert.notEqual((await first.outcome).code, 0)
    await desk.json('up')
    while (Number((await desk.json('status'))['connected']) === 0) await new Promise((done) => setTimeout(done, 50))
    const again = await desk.run('send', 'laptop', 'again.bin', at('sample'), '--json')
    assert.equal(again.code, 0, again.stdout + again.stderr)
    assert.deepEqual(await readdir(inbox), ['again.bin'])
    assert.equal(await sha256Of(join(inbox, 'again.bin')), sample.sha256)
    await closeInboxes()
  })
})
