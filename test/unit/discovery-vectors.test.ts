/**
 * spec/vectors/discovery.json against the code: the vectors of NZ-DISCOVERY-01, and properties of its codecs.
 * `NZ_WRITE_VECTORS=1 node --test test/unit/discovery-vectors.test.ts` writes them anew.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { IdentityKeys } from '../../modules/identity/keys.ts'
import { verifyFor } from '../../protocols/identity/signature.ts'
import { encodeCanonical } from '../../protocols/framing/canonical-cbor.ts'
import { MAX_RECORD_BYTES } from '../../protocols/discovery/limits.ts'
import {
  decodeFind,
  decodeFound,
  decodeStore,
  decodeStored,
  encodeFind,
  encodeFound,
  encodeStore,
  encodeStored,
} from '../../protocols/discovery/messages.ts'
import { createRecord, keysOf, readRecord, RECORD_PURPOSE, slotOf } from '../../protocols/discovery/record.ts'
import { fromHex, specVectors, toHex } from '../vectors.ts'
import type { Content, RecordBody } from '../../protocols/discovery/record.ts'

const NOW_MS = 1_800_000_000_000
const FILE = 'discovery.json'

interface Vectors {
  readonly nowMs: number
  readonly records: ReadonlyArray<{
    readonly name: string
    readonly signer: string
    readonly sequence: number
    readonly ttlS: number
    readonly kind: string
    readonly keys: readonly string[]
    readonly slot: string
    readonly hex: string
  }>
  readonly refused: ReadonlyArray<{ readonly name: string; readonly code: string; readonly hex: string }>
  readonly messages: ReadonlyArray<{ readonly name: string; readonly hex: string }>
}

const keys = await IdentityKeys.derive(new Uint8Array(32).fill(7), ['A', 'B', 'C', 'D'])
const signer = toHex(keys.self.nodePublicKey)
const contents: Readonly<Record<string, Content>> = {
  peer: { kind: 'peer', addresses: ['/ip4/203.0.113.4/tcp/4001', '/dns4/node.example/tcp/4002/ws'] },
  'peer without an address': { kind: 'peer', addresses: [] },
  service: {
    kind: 'service',
    name: 'printer',
    version: '1.2.0-rc.1',
    health: 'degraded',
    capabilities: ['colour', 'pdf'],
  },
  withdrawn: { kind: 'withdrawn', name: 'printer', capabilities: ['colour', 'pdf'] },
  value: { kind: 'value', name: 'motd', value: new TextEncoder().encode('hello') },
}
const sign: Parameters<typeof createRecord>[1] = (purpose, message) => keys.signAsNode(purpose, message)
const read = (bytes: Uint8Array) => readRecord(bytes, { verify: verifyFor, nowMs: NOW_MS })
const codeOf = (bytes: Uint8Array): string => {
  const refused = read(bytes)
  return typeof refused === 'string' ? refused : 'taken'
}
const body = (changes: Partial<RecordBody> = {}): RecordBody => ({
  signer,
  sequence: NOW_MS - 1_000,
  ttlS: 300,
  content: contents['service'] as Content,
  ...changes,
})

function build(): Vectors {
  const records = Object.entries(contents).map(([name, content]) => {
    const record = createRecord(body({ content }), sign)
    const { sequence, ttlS } = record
    return {
      name,
      signer,
      sequence,
      ttlS,
      kind: content.kind,
      keys: keysOf(record).map(toHex),
      slot: slotOf(record),
      hex: toHex(record.bytes),
    }
  })
  const whole = createRecord(body(), sign).bytes
  const raw = (items: unknown, purpose: string = RECORD_PURPOSE): Uint8Array => {
    const encoded = encodeCanonical(items)
    return encodeCanonical([purpose, encoded, sign(RECORD_PURPOSE, encoded)])
  }
  const items = [1, keys.self.nodePublicKey, NOW_MS - 1_000, 300, [1, 'printer', '1', 1, ['pdf']]]
  const refused: Array<readonly [string, Uint8Array]> = [
    ['signature altered', Uint8Array.from(whole, (byte, at) => (at === whole.length - 1 ? byte ^ 1 : byte))],
    ['over', createRecord(body({ sequence: NOW_MS - 300_000 }), sign).bytes],
    ['from the future', createRecord(body({ sequence: NOW_MS + 300_001 }), sign).bytes],
    ['another version', raw([2, ...items.slice(1)])],
    ['another purpose', raw(items, 'nzcore/other/1')],
    ['capabilities out of order', raw([...items.slice(0, 4), [1, 'printer', '1', 1, ['pdf', 'colour']]])],
    ['letters that are not allowed', raw([...items.slice(0, 4), [1, 'Printer', '1', 1, []]])],
    ['an address of no kind', raw([...items.slice(0, 4), [0, ['/unix/tmp/x']]])],
    ['a time to live of a month', raw([...items.slice(0, 3), 2_592_000, items[4]])],
    ['a value of 1,025 bytes', raw([...items.slice(0, 4), [3, 'motd', new Uint8Array(1_025)]])],
    ['more than 2,048 bytes', new Uint8Array(MAX_RECORD_BYTES + 1)],
    ['one byte more', Buffer.concat([whole, Uint8Array.of(0)])],
    ['cut short', whole.subarray(0, -1)],
  ]
  const own = createRecord(body({ content: contents['peer'] as Content }), sign).bytes
  const target = keysOf(body())[0] as Uint8Array
  const messages = [
    ['find', encodeFind({ target, wantsRecords: true, wantsOwn: true, own })],
    ['find without a record', encodeFind({ target, wantsRecords: false, wantsOwn: false, own: null })],
    ['found', encodeFound({ records: [whole], closer: [own], own: null })],
    ['store', encodeStore([{ key: target, record: whole }])],
    ['stored', encodeStored([null, 'NZ_DISCOVERY_STALE'])],
  ] as const
  return {
    nowMs: NOW_MS,
    records,
    refused: refused.map(([name, bytes]) => ({ name, code: codeOf(bytes), hex: toHex(bytes) })),
    messages: messages.map(([name, bytes]) => ({ name, hex: toHex(bytes) })),
  }
}

describe('NZ-DISCOVERY-01', () => {
  it('has the vectors that the code makes', () => {
    const built = build()
    if (process.env['NZ_WRITE_VECTORS'] === '1')
      writeFileSync(
        join(resolve(import.meta.dirname, '../../spec/vectors'), FILE),
        `${JSON.stringify(built, null, 2)}\n`,
      )
    assert.deepEqual(specVectors<Vectors>(FILE), built)
  })

  it('reads every vector as it says', () => {
    const vectors = specVectors<Vectors>(FILE)
    for (const { name, hex, sequence, ttlS, kind } of vectors.records) {
      const record = read(fromHex(hex))
      assert.ok(typeof record !== 'string', name)
      assert.deepEqual([record.sequence, record.ttlS, record.content.kind], [sequence, ttlS, kind])
      assert.deepEqual(record.content, contents[name])
    }
    const codes = new Set(vectors.refused.map(({ code }) => code))
    assert.deepEqual([...codes].toSorted(), [
      'NZ_DISCOVERY_EXPIRED',
      'NZ_DISCOVERY_FORGED',
      'NZ_DISCOVERY_MALFORMED',
      'NZ_DISCOVERY_TOO_LARGE',
      'NZ_DISCOVERY_VERSION',
    ])
  })

  it('gives back what was written', () => {
    const word = fc.stringMatching(/^[a-z0-9][a-z0-9._/-]{0,20}[a-z0-9]$/)
    const words = fc.uniqueArray(word, { maxLength: 8 }).map((all) => all.toSorted())
    const anyContent: fc.Arbitrary<Content> = fc.oneof(
      fc.record({
        kind: fc.constant('peer' as const),
        addresses: fc.array(
          fc.ipV4().map((ip) => `/ip4/${ip}/tcp/1`),
          { maxLength: 8 },
        ),
      }),
      fc.record({
        kind: fc.constant('service' as const),
        name: word,
        version: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9.+_-]{0,30}$/),
        health: fc.constantFrom('unknown' as const, 'healthy' as const, 'degraded' as const, 'failing' as const),
        capabilities: words,
      }),
      fc.record({ kind: fc.constant('withdrawn' as const), name: word, capabilities: words }),
      fc.record({ kind: fc.constant('value' as const), name: word, value: fc.uint8Array({ maxLength: 1_024 }) }),
    )
    const unsigned = { verify: () => true, nowMs: null }
    fc.assert(
      fc.property(
        anyContent,
        fc.integer({ min: 1, max: 2 ** 48 }),
        fc.integer({ min: 1, max: 604_800 }),
        (content, sequence, ttlS) => {
          const record = createRecord({ signer, sequence, ttlS, content: { ...content } }, () => new Uint8Array(64))
          assert.deepEqual(readRecord(record.bytes, unsigned), record)
        },
      ),
      { numRuns: 200 },
    )
  })

  it('takes altered bytes for nothing else than they are', () => {
    const { records, messages } = specVectors<Vectors>(FILE)
    const all = [...records, ...messages].map(({ hex }) => fromHex(hex))
    const altered = fc
      .tuple(fc.constantFrom(...all), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 }))
      .map(([bytes, changes]) => {
        const copy = bytes.slice()
        for (const [at, byte] of changes) copy[at % copy.length] = byte
        return copy
      })
    fc.assert(
      fc.property(fc.oneof(altered, fc.uint8Array({ maxLength: 300 })), (bytes) => {
        const record = readRecord(bytes, { verify: null, nowMs: NOW_MS })
        if (typeof record !== 'string')
          assert.deepEqual(toHex(createRecord(record, () => bytes.slice(-64)).bytes), toHex(bytes))
        for (const decode of [decodeFind, decodeFound, decodeStore, decodeStored])
          assert.ok(decode(bytes) !== undefined)
      }),
      { numRuns: 300 },
    )
  })
})
