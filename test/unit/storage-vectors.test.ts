/**
 * spec/vectors/storage.json against the code: the vectors of NZ-STORAGE-01.
 * `NZ_WRITE_VECTORS=1 node --test test/unit/storage-vectors.test.ts` writes them anew.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { it } from 'node:test'
import { addTerm, StoreKeys } from '../../modules/storage/keys.ts'
import { encodeHead } from '../../modules/storage/head.ts'
import { decodeRecord, encodeRecord, HEAD_PLACE, recordPlace } from '../../modules/storage/record.ts'
import { encodeHeader, seal, unseal } from '../../modules/storage/sealed.ts'
import { fromHex, specVectors, toHex } from '../vectors.ts'

const ROOT = Uint8Array.from({ length: 32 }, (_, at) => at)
const SALT = new Uint8Array(16).fill(0x5a)
const records = [
  { namespace: 'kv', key: 'greeting', expiresAtMs: 0, value: 'hello' },
  { namespace: 'kv', key: 'é/\u{1F600}', expiresAtMs: 1_800_000_000_000, value: '' },
  { namespace: 'trust/edges', key: 'a', expiresAtMs: 0, value: 'x'.repeat(40) },
]

function computed() {
  const keys = new StoreKeys(ROOT)
  let sum = 0n
  const listed = records.map((record, counter) => {
    const header = { generation: 2, salt: SALT, counter }
    const place = recordPlace(keys.recordId(2, record.namespace, record.key))
    const plaintext = encodeRecord({ ...record, value: Buffer.from(record.value) })
    const term = keys.sumTerm(place.subarray(1), encodeHeader(header))
    sum = addTerm(sum, term)
    return {
      ...record,
      counter,
      place: toHex(place),
      plaintext: toHex(plaintext),
      sealed: toHex(seal(keys, 'record', header, { place, plaintext })),
      term: term.toString(16).padStart(64, '0'),
    }
  })
  const namespaces = new Map([['kv', { sequence: 7, records: 3, bytes: 68, sum, isCopy: false }]])
  const head = encodeHead({ sequence: 9, generation: 2, quarantined: 0, repaired: 0, namespaces })
  const header = { generation: 2, salt: SALT, counter: 3 }
  return {
    comment:
      'NZ-STORAGE-01; bytes in hex, values as text. The head takes the sum of all three terms for one namespace.',
    root: toHex(ROOT),
    generation: 2,
    salt: toHex(SALT),
    records: listed,
    head: {
      counter: 3,
      plaintext: Buffer.from(head).toString(),
      sealed: toHex(seal(keys, 'head', header, { place: HEAD_PLACE, plaintext: head })),
    },
  }
}

it('agrees with the published vectors', () => {
  const file = resolve(import.meta.dirname, '..', '..', join('spec', 'vectors', 'storage.json'))
  if (process.env['NZ_WRITE_VECTORS'] === '1') writeFileSync(file, `${JSON.stringify(computed(), null, 2)}\n`)
  const vectors = specVectors('storage.json')
  assert.deepEqual(vectors, computed())
})

it('opens what the vectors seal, at its own place only', () => {
  const keys = new StoreKeys(ROOT)
  for (const { sealed, place, value } of computed().records) {
    const opened = unseal(keys, 'record', fromHex(sealed), fromHex(place))
    assert.equal(Buffer.from(decodeRecord(opened?.plaintext ?? new Uint8Array())?.value ?? []).toString(), value)
    assert.equal(unseal(keys, 'record', fromHex(sealed), recordPlace(new Uint8Array(16))), null)
  }
})
