/** Decoders of the store take any bytes without throwing, and give back what was encoded. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { decodeHead, decodeWitness, EMPTY_HEAD, encodeHead } from '../../modules/storage/head.ts'
import { StoreKeys } from '../../modules/storage/keys.ts'
import { decodeRecord, encodeRecord, isKey, isNamespace } from '../../modules/storage/record.ts'
import { decodeHeader, seal, unseal } from '../../modules/storage/sealed.ts'

import { unsnappy } from '../../modules/storage/snappy.ts'
import { isIntactTable } from '../../modules/storage/table-check.ts'

const numRuns = process.env['NZ_FULL'] === '1' ? 1_000_000 : 10_000
const keys = new StoreKeys(new Uint8Array(32).fill(7))
const place = Uint8Array.of(0x72, 1)

it('takes any bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      decodeHeader(bytes)
      decodeHead(bytes)
      decodeWitness(bytes)
      unsnappy(bytes)
      isIntactTable(bytes)
      const table = Buffer.concat([bytes, bytes, Buffer.from('57fb808b247547db', 'hex')])
      assert.equal(isIntactTable(table), false)
      const record = decodeRecord(bytes)
      if (record !== null) assert.deepEqual(Uint8Array.from(encodeRecord(record)), bytes)
      assert.equal(unseal(keys, 'record', bytes, place), null)
    }),
    { numRuns },
  )
})

it('gives back what was sealed, and nothing when a bit or the place differs', () => {
  const record = fc.record({
    namespace: fc.constantFrom('kv', 'trust/edges'),
    key: fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }).filter(isKey),
    expiresAtMs: fc.nat(),
    value: fc.uint8Array({ maxLength: 300 }),
  })
  let counter = 0
  fc.assert(
    fc.property(record, fc.nat(), fc.nat(7), (plain, at, bit) => {
      assert.ok(isNamespace(plain.namespace))
      const header = { generation: 3, salt: new Uint8Array(16).fill(5), counter: counter++ }
      const sealed = seal(keys, 'record', header, { place, plaintext: encodeRecord(plain) })
      const opened = unseal(keys, 'record', sealed, place)
      assert.deepEqual(decodeRecord(opened?.plaintext ?? new Uint8Array()), { ...plain })
      assert.equal(unseal(keys, 'head', sealed, place), null)
      assert.equal(unseal(keys, 'record', sealed, Uint8Array.of(0x72, 2)), null)
      const changed = Uint8Array.from(sealed)
      changed[at % changed.length] = (changed[at % changed.length] ?? 0) ^ (1 << bit)
      assert.equal(unseal(keys, 'record', changed, place), null)
    }),
    { numRuns: Math.min(numRuns, 50_000) },
  )
  assert.deepEqual(decodeHead(encodeHead(EMPTY_HEAD)), EMPTY_HEAD)
})
