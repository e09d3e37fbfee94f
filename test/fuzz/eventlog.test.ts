/** Any bytes where frames, entries, heads, statements, exports and versions of documents are expected. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { decodeVersion, encodeVersion } from '../../protocols/documents/version.ts'
import { decodeEntry, encodeEntry, entryKinds, MAX_PAYLOAD_BYTES } from '../../protocols/eventlog/entry.ts'
import { ExportCheck, writtenPayload } from '../../protocols/eventlog/export.ts'
import {
  decodeFrameHead,
  decodeGap,
  decodeLogHead,
  decodeSegmentStart,
  decodeWitness,
  MAX_SEALED_BYTES,
} from '../../protocols/eventlog/frame.ts'

const numRuns = process.env['NZ_FULL'] === '1' ? 1_000_000 : 10_000

it('takes any bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const frame = decodeFrameHead(bytes)
      if (frame !== null) assert.ok(frame.length <= MAX_SEALED_BYTES)
      for (const decode of [decodeGap, decodeLogHead, decodeSegmentStart, decodeWitness]) decode(bytes)
      const entry = decodeEntry(bytes)
      if (entry !== null) assert.deepEqual(encodeEntry(entry), bytes)
      const version = decodeVersion(bytes)
      if (version !== null) assert.deepEqual(encodeVersion(version), bytes)
      const { encoding, payload } = writtenPayload(bytes)
      assert.deepEqual(Uint8Array.from(Buffer.from(payload, encoding === 'text' ? 'utf8' : 'base64')), bytes)
    }),
    { numRuns },
  )
})

it('gives back what was encoded', () => {
  const entry = fc.record({
    kind: fc.constantFrom(...entryKinds),
    sequence: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    atMs: fc.nat(),
    previous: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    payload: fc.uint8Array({ maxLength: 200 }),
  })
  fc.assert(
    fc.property(entry, (plain) => assert.deepEqual(decodeEntry(encodeEntry(plain)), { ...plain })),
    { numRuns },
  )
  assert.equal(decodeEntry(new Uint8Array(49 + MAX_PAYLOAD_BYTES + 1)), null)
})

it('checks any lines without an unknown failure, and proves none of them', () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue(), { maxLength: 5 }), (lines) => {
      const check = new ExportCheck(() => true)
      for (const line of lines) assert.throws(() => check.push(line), Error)
      assert.equal(check.proven, null)
    }),
    { numRuns: Math.min(numRuns, 20_000) },
  )
})
