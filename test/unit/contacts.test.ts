import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { AddressBook, MAX_CONTACTS } from '../../modules/contacts/address-book.ts'
import { KeptConnections } from '../../modules/contacts/kept-connections.ts'
import { displayName, freeName, MAX_NAME_LENGTH } from '../../protocols/invite/name.ts'
import { peerIdOf, publicKeyOfPeerId, idOf } from '../../protocols/identity/id.ts'
import { memoryHome } from '../fake/home.ts'
import { diskOf, openStore } from '../fake/storage.ts'

function key(number: number): Uint8Array {
  const bytes = new Uint8Array(32).fill(7)
  new DataView(bytes.buffer).setUint32(0, number)
  return bytes
}

function contact(number: number, name: string) {
  return { peerId: peerIdOf(key(number)), name, addresses: [], verifiedBy: 'words' as const, addedAtMs: number }
}

/** The book of a node whose disk has these files and what was stored beside them. */
async function openBook(files = new Map<string, Uint8Array>()): Promise<AddressBook> {
  const storage = await openStore({ disk: diskOf(files), home: memoryHome(files) })
  const book = new AddressBook(storage, { onLoaded: () => undefined })
  await book.load()
  return book
}

describe('AddressBook', () => {
  it('finds a contact by name, peer id, nz1 id and by a prefix of an id', async () => {
    const book = await openBook()
    const desk = await book.add(contact(1, 'desk'), { keepsName: true })
    await book.add(contact(2, 'laptop'), { keepsName: true })
    for (const reference of ['desk', 'DESK', desk.peerId, desk.id, desk.id.toUpperCase(), desk.id.slice(0, 30)]) {
      assert.equal(book.resolve(reference).peerId, desk.peerId, reference)
    }
    assert.equal(desk.id, idOf(key(1)))
  })

  it('says that a reference is unknown, too short or stands for several', async () => {
    const book = await openBook()
    await book.add(contact(1, 'desk'), { keepsName: true })
    await book.add(contact(2, 'laptop'), { keepsName: true })
    assert.throws(() => book.resolve('rack'), { code: 'NZ_CONTACTS_NOT_FOUND', exit: 'notFound' })
    assert.throws(() => book.resolve('nz1qq'), { code: 'NZ_CONTACTS_NOT_FOUND' })
    assert.throws(() => book.resolve('nz1qqqq'), { code: 'NZ_CONTACTS_AMBIGUOUS' })
  })

  it('keeps contacts over a restart', async () => {
    const files = new Map<string, Uint8Array>()
    const book = await openBook(files)
    await book.add(contact(1, 'desk'), { keepsName: true })
    await book.rename('desk', 'office')
    const again = await openBook(files)
    assert.deepEqual(again.list(), book.list())
    assert.equal(again.resolve('office').addedAtMs, 1)
    await again.remove('office')
    assert.deepEqual((await openBook(files)).list(), [])
  })

  it('never writes what it could not read again', async () => {
    const files = new Map<string, Uint8Array>()
    const book = await openBook(files)
    const desk = await book.add(contact(1, 'desk'), { keepsName: true })
    const tooLong = [`/ip4/192.0.2.1/tcp/4001${'/p2p-circuit'.repeat(20)}`]
    await assert.rejects(book.add({ ...contact(2, 'laptop'), addresses: tooLong }, { keepsName: true }))
    await assert.rejects(book.setAddresses(desk.peerId, tooLong))
    assert.deepEqual(book.list(), [desk])
    assert.deepEqual((await openBook(files)).list(), [desk])
  })

  it('gives a second contact of the same name a suffix, and refuses a rename to a taken name', async () => {
    const book = await openBook()
    await book.add(contact(1, 'desk'), { keepsName: true })
    assert.equal((await book.add(contact(2, 'Desk'), { keepsName: true })).name, 'Desk-2')
    assert.equal((await book.add(contact(3, 'desk'), { keepsName: true })).name, 'desk-3')
    await assert.rejects(book.rename('desk-3', 'DESK'), { code: 'NZ_CONTACTS_NAME_TAKEN', exit: 'conflict' })
    await assert.rejects(book.rename('desk-3', '\u202Eevil'), { code: 'NZ_CONTACTS_NAME_INVALID' })
  })

  it('updates a known peer in place and keeps the name it has here', async () => {
    const book = await openBook()
    await book.add(contact(1, 'desk'), { keepsName: true })
    await book.rename('desk', 'office')
    const again = await book.add({ ...contact(1, 'desk'), addresses: ['/ip4/127.0.0.1/tcp/1'] }, { keepsName: true })
    assert.deepEqual([again.name, again.addresses.length, book.list().length], ['office', 1, 1])
  })

  it('refuses damaged files with a code and leaves them alone', async () => {
    const text = JSON.stringify({ version: 1, contacts: [contact(1, 'desk')] }, null, 2)
    const damaged = [
      '',
      '{}',
      text.slice(0, -10),
      text.replace('"version": 1', '"version": 2'),
      text.replace('"desk"', '"de\\u001bsk"'),
      text.replace('12D3', '12D4'),
      text.replace('"words"', '"magic"'),
      text.replace('"addedAtMs"', '"extra": 1, "addedAtMs"'),
      JSON.stringify({ version: 1, contacts: [contact(1, 'a'), contact(1, 'b')] }),
      JSON.stringify({ version: 1, contacts: [contact(1, 'a'), contact(2, 'A')] }),
    ]
    for (const content of damaged) {
      const files = new Map([['contacts.json', new TextEncoder().encode(content)]])
      await assert.rejects(openBook(files), { code: 'NZ_CONTACTS_DAMAGED', exit: 'damaged' }, content)
      assert.equal(new TextDecoder().decode(files.get('contacts.json')), content)
    }
  })

  it('holds at its bound', async () => {
    const contacts = Array.from({ length: MAX_CONTACTS }, (_, i) => contact(i, `c${i}`))
    const bytes = new TextEncoder().encode(JSON.stringify({ version: 1, contacts }))
    const book = await openBook(new Map([['contacts.json', bytes]]))
    await assert.rejects(book.add(contact(5_000, 'late'), { keepsName: true }), { code: 'NZ_CONTACTS_FULL' })
    assert.equal((await book.add(contact(3, 'known'), { keepsName: true })).name, 'c3')
  })

  it('changes nothing in memory when the store cannot be written', async () => {
    const files = new Map<string, Uint8Array>()
    const book = await openBook(files)
    diskOf(files).engine.isFull = true
    await assert.rejects(book.add(contact(1, 'desk'), { keepsName: true }), { code: 'NZ_STORAGE_READ_ONLY' })
    assert.deepEqual(book.list(), [])
  })

  it('takes the book of version 0.1.0 over once and leaves no file behind', async () => {
    const bytes = new TextEncoder().encode(JSON.stringify({ version: 1, contacts: [contact(1, 'desk')] }))
    const files = new Map([['contacts.json', bytes]])
    const book = await openBook(files)
    assert.equal(book.resolve('desk').peerId, contact(1, '').peerId)
    assert.equal(files.has('contacts.json'), false)
    await book.remove('desk')
    assert.deepEqual((await openBook(files)).list(), [])
  })

  it('says that it cannot be read, and knows nobody, while its records are damaged', async () => {
    const files = new Map<string, Uint8Array>()
    const desk = await (await openBook(files)).add(contact(1, 'desk'), { keepsName: true })
    const { records } = diskOf(files).engine
    for (const [place, bytes] of records) if (place.startsWith('72')) bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
    assert.ok(records.size > 0)
    const book = await openBook(files)
    assert.equal(book.get(desk.peerId), undefined)
    assert.throws(() => book.list(), { code: 'NZ_STORAGE_DAMAGED', exit: 'damaged' })
    await assert.rejects(book.add(contact(2, 'new'), { keepsName: true }), { code: 'NZ_STORAGE_DAMAGED' })
    const { state, ...told } = book.health()
    assert.deepEqual([state, 'code' in told && told.code], ['degraded', 'NZ_STORAGE_DAMAGED'])
  })
})

describe('KeptConnections', () => {
  it('holds one connection per peer and releases what it replaces', () => {
    const held: string[] = []
    const kept = new KeptConnections({
      keep(peerId, addresses) {
        const entry = `${peerId} ${addresses.join()}`
        held.push(entry)
        return { release: () => void held.splice(held.indexOf(entry), 1) }
      },
    })
    kept.keep('a', ['1'])
    kept.keep('a', ['2'])
    kept.keep('b', [])
    assert.deepEqual(held, ['a 2', 'b '])
    kept.release('a')
    kept.release('a')
    kept.releaseAll()
    assert.deepEqual(held, [])
  })
})

describe('names from peers', () => {
  it('lose control, bidirectional and separator characters', () => {
    assert.equal(displayName('  my\tlaptop\n'), 'my laptop')
    assert.equal(displayName('\u001b[31mred\u001b[0m'), '31mred0m')
    assert.equal(displayName('a\u202Eb\u2066c\u200Fd'), 'abcd')
    assert.equal(displayName('../../etc/passwd'), 'etcpasswd')
    assert.equal(displayName('--yes'), 'yes')
    assert.equal(displayName('Zoe\u0308'), 'Zo\u00EB')
    assert.equal(displayName('\u0007'), null)
    assert.equal(displayName('nz1qqqqqq'), null)
    assert.equal(displayName('12D3KooWabc'), null)
  })

  it('are short, printable and stable under a second pass, whatever was proposed', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (proposed) => {
        const name = displayName(proposed)
        if (name === null) return
        assert.ok(Array.from(name).length <= MAX_NAME_LENGTH)
        assert.doesNotMatch(name, /[\p{C}\p{Zl}\p{Zp}]/u)
        assert.equal(displayName(name), name)
      }),
      { numRuns: 2_000 },
    )
  })

  it('find a free suffix within the length limit', () => {
    const taken = new Set(['desk', 'desk-2', 'x'.repeat(32)])
    assert.equal(
      freeName('desk', (name) => taken.has(name)),
      'desk-3',
    )
    assert.equal(
      freeName('x'.repeat(32), (name) => taken.has(name)),
      `${'x'.repeat(30)}-2`,
    )
  })
})

describe('peer ids', () => {
  it('round-trip for every key and refuse everything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
        assert.deepEqual(publicKeyOfPeerId(peerIdOf(bytes)), bytes)
      }),
    )
    for (const wrong of ['', '12D3', 'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG', '0OIl', 'x'.repeat(10_000)]) {
      assert.equal(publicKeyOfPeerId(wrong), null)
    }
  })
})
