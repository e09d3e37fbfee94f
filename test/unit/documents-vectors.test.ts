/**
 * spec/vectors/documents.json against the code: the vectors of NZ-DOCUMENTS-01.
 * `NZ_WRITE_VECTORS=1 node --test test/unit/documents-vectors.test.ts` writes them anew.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { it } from 'node:test'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import fc from 'fast-check'
import { peerIdOf } from '../../protocols/identity/id.ts'
import { signFor, verifyFor } from '../../protocols/identity/signature.ts'
import {
  decodeVersion,
  encodeVersion,
  hashOfContent,
  isSigned,
  VERSION_PURPOSE,
  versionId,
} from '../../protocols/documents/version.ts'
import { fromHex, specVectors, toHex } from '../vectors.ts'
import type { Version } from '../../protocols/documents/version.ts'

const SEED = new Uint8Array(32).fill(9)
const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), SEED])
const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
const publicKey = new Uint8Array(createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(-32))
const author = peerIdOf(publicKey)

const verify = (message: Uint8Array, signature: Uint8Array, key: Uint8Array): boolean =>
  verifyFor(VERSION_PURPOSE, message, signature, key)

function made(kind: Version['kind'], parents: readonly string[], time: number, content: string) {
  const facts = { document: 'notes/é', kind, parents, time, atMs: 1_700_000_000_000 + time, author }
  const version = { ...facts, contentHash: hashOfContent(Buffer.from(content)), size: Buffer.byteLength(content) }
  const encoded = encodeVersion(version)
  const signature = toHex(signFor(VERSION_PURPOSE, encoded, privateKey))
  return { ...version, content, encoded: toHex(encoded), id: versionId(encoded), signature }
}

function computed() {
  const root = made('put', [], 1, 'root')
  const left = made('put', [root.id], 2, 'left')
  const right = made('put', [root.id], 2, 'right')
  const merged = made('merge', [left.id, right.id].toSorted(), 3, 'left and right')
  const tombstone = made('delete', [merged.id], 4, '')
  return {
    comment: 'NZ-DOCUMENTS-01; encodings, ids, hashes and signatures in hex. `root` is forked, `merge` ends the fork.',
    seed: toHex(SEED),
    versions: [root, left, right, merged, tombstone],
    forks: [{ parent: root.id, children: [left.id, right.id].toSorted() }],
    heads: [tombstone.id],
  }
}

it('agrees with the published vectors', () => {
  const file = resolve(import.meta.dirname, '..', '..', join('spec', 'vectors', 'documents.json'))
  if (process.env['NZ_WRITE_VECTORS'] === '1') writeFileSync(file, `${JSON.stringify(computed(), null, 2)}\n`)
  assert.deepEqual(specVectors('documents.json'), computed())
})

it('takes the vectors in their one form, and nothing that differs in a bit', () => {
  for (const { content: _, encoded, id, signature, ...version } of computed().versions) {
    const bytes = fromHex(encoded)
    assert.deepEqual(decodeVersion(bytes), version)
    assert.equal(versionId(bytes), id)
    assert.equal(isSigned(bytes, fromHex(signature), verify), true)
    fc.assert(
      fc.property(fc.nat({ max: bytes.length - 1 }), fc.nat(7), (at, bit) => {
        const changed = Uint8Array.from(bytes)
        changed[at] = (changed[at] ?? 0) ^ (1 << bit)
        assert.equal(isSigned(changed, fromHex(signature), verify), false)
        const decoded = decodeVersion(changed)
        if (decoded !== null) assert.deepEqual(encodeVersion(decoded), changed)
      }),
      { numRuns: 40 },
    )
  }
})
