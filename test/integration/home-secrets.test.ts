/**
 * What a used home says to who has its disk: no name of a contact, no peer id of one, no name of a file, no name of a
 * token. And homes as others left them: by version 0.1.0, or damaged.
 */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { homeOf } from '../../protocols/ipc/home.ts'
import { Machine } from './story/machine.ts'

const config = (name: string): string =>
  `[network]\nlisten = ["/ip4/127.0.0.1/tcp/0"]\n[contacts]\nname = "${name}"\n[logs]\nlevel = "debug"\n`

let folder: string
before(async () => (folder = await mkdtemp(join(tmpdir(), 'nz-home-'))))
after(async () => await rm(folder, { recursive: true, force: true }))

async function machine(name: string): Promise<Machine> {
  return await Machine.create(join(folder, name), config(name))
}

/** Files below the home that hold one of `words` in clear. */
async function findings(home: string, words: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const entry of await readdir(home, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const bytes = await readFile(join(entry.parentPath, entry.name))
    const names = `${entry.parentPath}/${entry.name}`.slice(home.length)
    found.push(
      ...words.filter((word) => bytes.includes(word) || names.includes(word)).map((word) => `${word}: ${names}`),
    )
  }
  return found
}

describe('a used home', { timeout: 120_000 }, () => {
  it('holds no name, no peer id of a contact, no file name and no token name in clear', async () => {
    const desk = await machine('zebradesk')
    const laptop = await machine('zebralaptop')
    const inbox = join(folder, 'inbox')
    const deskHome = join(desk.home)
    try {
      await Promise.all([desk.json('up'), laptop.json('up')])
      const { ticket } = (await desk.json('invite', '--yes', '--no-wait')) as { ticket: string }
      await laptop.json('join', ticket, '--yes', '--as', 'zebraoffice')
      const { contacts } = (await desk.json('contacts')) as { contacts: { peerId: string; name: string }[] }
      assert.deepEqual(
        contacts.map(({ name }) => name),
        ['zebralaptop'],
      )
      await writeFile(join(folder, 'zebrastripes.txt'), 'hello')
      const fs = await import('node:fs/promises')
      await fs.mkdir(inbox)
      await desk.json('receive', '--to', inbox, '--detach')
      await laptop.json('send', 'zebraoffice', 'zebrastripes.txt', join(folder, 'zebrastripes.txt'))
      await desk.json('token', 'create', 'zebratoken', '--capabilities', 'node.read')
      await desk.json('block', '192.0.2.77')
      await Promise.all([desk.json('down'), laptop.json('down')])
      const words = [
        'zebralaptop',
        'zebrastripes',
        'zebratoken',
        'zebraoffice',
        '192.0.2.77',
        contacts[0]?.peerId ?? '?',
      ]
      assert.deepEqual(await findings(deskHome, words), [])
      assert.deepEqual(await findings(laptop.home, ['zebradesk', 'zebrastripes', 'zebraoffice']), [])
      await desk.json('up')
      const again = (await desk.json('contacts')) as typeof contacts extends infer C ? { contacts: C } : never
      assert.equal(again.contacts.length, 1)
    } finally {
      await Promise.all([desk.run('down'), laptop.run('down')])
    }
  })
})

describe('a home of version 0.1.0', { timeout: 120_000 }, () => {
  it('is taken over, its files are gone; a damaged one is exit 11 and stays', async () => {
    const desk = await machine('older')
    const { stateDir } = homeOf({ env: desk.env })
    const peerId = '12D3KooWEUZ2X4DZeLq4Jf6yWuRTfmFe4g8nBZLuZ9CvnJdXxjPW'
    try {
      await desk.json('up')
      await desk.json('down')
      const files = {
        'contacts.json': {
          version: 1,
          contacts: [{ peerId, name: 'ada', addresses: [], verifiedBy: 'words', addedAtMs: 5 }],
        },
        'invites.json': { version: 1, invites: [] },
        'forwards.json': {
          version: 1,
          forwards: [
            { kind: 'exposed', forwardId: 'fwd_00000001', service: 'web', host: '127.0.0.1', port: 9, allow: null },
          ],
        },
        'api-tokens.json': { version: 1, tokens: [] },
        'network-blocklist.json': { version: 1, blocked: ['192.0.2.1'] },
        'transfers.json': { v: 1, inboxes: [], partials: [], history: [] },
      }
      for (const [name, content] of Object.entries(files)) {
        await writeFile(join(stateDir, name), JSON.stringify(content), { mode: 0o600 })
      }
      await desk.json('up')
      assert.deepEqual(
        (await readdir(stateDir)).filter((name) => name in files),
        [],
      )
      const { contacts } = (await desk.json('contacts')) as { contacts: { name: string }[] }
      assert.deepEqual(
        contacts.map(({ name }) => name),
        ['ada'],
      )
      assert.deepEqual(((await desk.json('blocked')) as { blocked: string[] }).blocked, ['192.0.2.1'])
      await desk.json('down')
      await writeFile(join(stateDir, 'contacts.json'), '{"version":1', { mode: 0o600 })
      const refused = await desk.run('up')
      assert.equal(refused.code, 11, refused.stdout + refused.stderr)
      assert.equal(await readFile(join(stateDir, 'contacts.json'), 'utf8'), '{"version":1')
    } finally {
      await desk.run('down')
    }
  })
})

describe('a home whose store is damaged', { timeout: 120_000 }, () => {
  it('still starts, says what does not work, and works again after a repair', async () => {
    const desk = await machine('damaged')
    const { stateDir } = homeOf({ env: desk.env })
    try {
      await desk.json('up')
      await desk.json('kv', 'put', 'a', 'b')
      await desk.json('down')
      await rm(join(stateDir, 'store'), { recursive: true })
      await desk.json('up')
      const refused = await desk.run('contacts')
      assert.equal(refused.code, 11, refused.stdout + refused.stderr)
      assert.match(refused.stderr, /nzcore storage/)
      const status = (await desk.json('status')) as { contacts: number | null }
      assert.equal(status.contacts, null)
      await desk.json('storage', 'repair')
      assert.deepEqual(((await desk.json('contacts')) as { contacts: unknown[] }).contacts, [])
    } finally {
      await desk.run('down')
    }
  })
})
