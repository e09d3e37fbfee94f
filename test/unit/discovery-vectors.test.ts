/**
 * spec/vectors/discovery.json against the code: the vectors of NZ-DISCOVERY-01, and properties of its codecs.
 * `NZ_WRITE_VECTORS=1 node --test test/unit/discovery-vectors.test.ts` writes them anew.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { decodeFind, decodeFound, decodeStore, decodeStored } from '../../protocols/discovery/messages.ts'
import { createRecord, readRecord } from '../../protocols/discovery/record.ts'
import { build, contents, NOW_MS, read, signer } from '../fake/discovery-vectors.ts'
import { fromHex, specVectors, toHex } from '../vectors.ts'
import type { Content } from '../../protocols/discovery/record.ts'
import type { Vectors } from '../fake/discovery-vectors.ts'

const FILE = 'discovery.json'

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
