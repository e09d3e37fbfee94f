/** Whatever a relay or a peer sends for a message: read, or refused, soon; what is read encodes to what means the same. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  decodeHop,
  decodePunch,
  decodeStop,
  encodeHop,
  encodePunch,
  encodeStop,
} from '../../protocols/circuit/messages.ts'

const numRuns = process.env['NZ_FULL'] === '1' ? 300_000 : 5_000
const vectors = JSON.parse(readFileSync(new URL('../../spec/vectors/circuit.json', import.meta.url), 'utf8'))
const honest: readonly Uint8Array[] = ['hop', 'stop', 'punch'].flatMap((kind) =>
  Object.values(vectors[kind] as Record<string, string>).map((text) => new Uint8Array(Buffer.from(text, 'hex'))),
)

const changed = fc
  .tuple(
    fc.constantFrom(...honest),
    fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { minLength: 1, maxLength: 4 }),
    fc.nat(80),
  )
  .map(([bytes, edits, length]) => {
    const made = Uint8Array.from(bytes)
    for (const [at, value] of edits) made[at % made.length] = value
    return length < 60 ? made.slice(0, Math.max(1, length)) : made
  })
const anything = fc.oneof(changed, fc.uint8Array({ maxLength: 200 }))

describe('the decoders of relay messages', () => {
  it('read or refuse any bytes, and agree with the encoders', () => {
    fc.assert(
      fc.property(anything, (bytes) => {
        const hop = decodeHop(bytes)
        if (hop !== null) assert.deepEqual(decodeHop(encodeHop(hop)), hop)
        const stop = decodeStop(bytes)
        if (stop !== null) assert.deepEqual(decodeStop(encodeStop(stop)), stop)
        const punch = decodePunch(bytes)
        if (punch !== null) assert.deepEqual(decodePunch(encodePunch(punch)), punch)
      }),
      { numRuns },
    )
  })
})
