/**
 * spec/vectors/files.json against the code: the vectors of NZ-FILES-01.
 * `NZ_WRITE_VECTORS=1 node --test test/unit/files-vectors.test.ts` writes them anew.
 */
import assert from 'node:assert/strict'
import { createHash, hkdfSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { it } from 'node:test'
import { FileKeys } from '../../modules/files/keys.ts'
import { CHUNK_BYTES, ContentSealer, SEALED_CHUNK_BYTES } from '../../modules/files/sealed-content.ts'
import { specVectors, toHex } from '../vectors.ts'

const ROOT = Uint8Array.from({ length: 32 }, (_, at) => at)
const sizes = [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1]

/** Byte i of a content is i modulo 251. */
const contentOf = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, at) => at % 251)

function computed() {
  const keys = new FileKeys(ROOT)
  return {
    comment:
      'NZ-FILES-01. Byte i of a content is i modulo 251; chunks are given by their first 16 bytes and their tag.',
    root: toHex(ROOT),
    contents: sizes.map((size, at) => {
      const salt = new Uint8Array(32).fill(0xa0 + at)
      const derived = new Uint8Array(hkdfSync('sha256', ROOT, salt, 'nzcore/files/content/1', 39))
      const sealer = new ContentSealer(keys.content(salt), salt)
      const chunks: Uint8Array[] = []
      const room = (): Uint8Array => {
        chunks.push(new Uint8Array(SEALED_CHUNK_BYTES))
        return chunks.at(-1) ?? new Uint8Array()
      }
      const bytes = contentOf(size)
      for (let at = 0; at < size;) {
        if (sealer.isFull) sealer.seal(room())
        at += sealer.fill(bytes.subarray(at))
      }
      const content = sealer.finish(room())
      const file = Buffer.concat([sealer.header, ...chunks])
      return {
        size,
        contentId: content.contentId,
        salt: toHex(salt),
        contentKey: toHex(derived.subarray(0, 32)),
        noncePrefix: toHex(derived.subarray(32)),
        header: toHex(sealer.header),
        chunks: chunks.map((sealed) => ({
          first: toHex(sealed.subarray(0, 16)),
          tag: toHex(sealed.subarray(CHUNK_BYTES)),
        })),
        fileBytes: file.byteLength,
        fileSha256: createHash('sha256').update(file).digest('hex'),
        diskName: keys.diskName(content.contentId, salt),
      }
    }),
  }
}

it('agrees with the published vectors', () => {
  const file = resolve(import.meta.dirname, '..', '..', join('spec', 'vectors', 'files.json'))
  if (process.env['NZ_WRITE_VECTORS'] === '1') writeFileSync(file, `${JSON.stringify(computed(), null, 2)}\n`)
  assert.deepEqual(specVectors('files.json'), computed())
})

it('has contents of the lengths the text gives', () => {
  for (const { size, chunks, fileBytes } of computed().contents) {
    assert.equal(chunks.length, Math.max(1, Math.ceil(size / CHUNK_BYTES)))
    assert.equal(fileBytes, 40 + chunks.length * SEALED_CHUNK_BYTES)
  }
})
