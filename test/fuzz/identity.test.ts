/** Whatever lies in a keystore, key file or export, or is typed as words or id: an answer or an error code, soon. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { decode, encode } from 'cborg'
import fc from 'fast-check'
import { isNzError } from '../../kernel/index.ts'
import { importOf } from '../../modules/identity/export.ts'
import { decodeKeyFile, encodeKeyFile } from '../../modules/identity/key-file.ts'
import { IdentityKeys } from '../../modules/identity/keys.ts'
import { subjectOf } from '../../modules/identity/keystore.ts'
import { lock, parse, unlock } from '../../modules/identity/locked-file.ts'
import { entropyOf } from '../../modules/identity/words.ts'
import { publicKeyOfId, publicKeyOfPeerId } from '../../protocols/identity/id.ts'

const numRuns = Number(process.env['NZ_FUZZ_RUNS'] ?? 20_000)
const seed = Number(process.env['NZ_FUZZ_SEED'] ?? Date.now() % 2 ** 31)

/** A hang, not a busy machine. */
const LONGEST_MS = 1_000
const PREFIX_BYTES = 7
const CHECKSUM_BYTES = 32
const text = new TextEncoder()
const entropy = new Uint8Array(32).fill(5)
const key = new Uint8Array(32).fill(6)

using keys = await IdentityKeys.derive(entropy)
const subject = subjectOf(keys.self, 1_700_000_000_000)
const keystore = await lock({ kind: 'keystore', subject, boundTo: { path: '/x', uid: 0 } }, entropy, {
  by: 'key-file',
  key,
})
const exported = await lock(
  { kind: 'export', subject, boundTo: null },
  entropy,
  { by: 'passphrase', passphrase: text.encode('a passphrase') },
  { logN: 14 },
)
const keyFile = encodeKeyFile({ kind: 'key-file', version: 1, peerId: keys.self.peerId, keystore: '/x', key })

/** Changes bytes, cuts, and lengthens. */
function mutations(of: Uint8Array): fc.Arbitrary<Uint8Array> {
  const change = fc.record({ at: fc.nat(of.byteLength - 1), to: fc.nat(255) })
  return fc
    .record({
      changes: fc.array(change, { minLength: 1, maxLength: 6 }),
      cut: fc.option(fc.nat(of.byteLength)),
      more: fc.uint8Array({ maxLength: 20 }),
    })
    .map(({ changes, cut, more }) => {
      const bytes = Uint8Array.from(of)
      for (const { at, to } of changes) bytes[at] = to
      return new Uint8Array(Buffer.concat([bytes.subarray(0, cut ?? bytes.byteLength), more]))
    })
}

/** What somebody who knows the format writes: the checksum fits. */
function withChecksum(bytes: Uint8Array): Uint8Array {
  const body = bytes.subarray(0, Math.max(0, bytes.byteLength - CHECKSUM_BYTES))
  return new Uint8Array(Buffer.concat([body, createHash('sha256').update(body).digest()]))
}

function soon<T>(work: () => T): T {
  const startedAtMs = performance.now()
  const result = work()
  assert.ok(performance.now() - startedAtMs < LONGEST_MS, 'it took too long')
  return result
}

function headerOf(file: Uint8Array): Record<string, unknown> {
  const length = ((file[5] ?? 0) << 8) | (file[6] ?? 0)
  return decode(file.subarray(PREFIX_BYTES, PREFIX_BYTES + length)) as Record<string, unknown>
}

function withHeader(file: Uint8Array, header: unknown): Uint8Array {
  const rest = file.subarray(PREFIX_BYTES + (((file[5] ?? 0) << 8) | (file[6] ?? 0)))
  const bytes = encode(header)
  const length = Uint8Array.of(bytes.byteLength >> 8, bytes.byteLength & 0xff)
  return withChecksum(new Uint8Array(Buffer.concat([file.subarray(0, 5), length, bytes, rest])))
}

describe('the locked file', () => {
  it('parses or does not, for any bytes', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 9_000 }), mutations(keystore), mutations(exported)), (bytes) => {
        for (const file of [bytes, withChecksum(bytes)]) {
          const { state } = soon(() => parse(file))
          assert.ok(['parsed', 'damaged', 'newer'].includes(state))
        }
      }),
      { numRuns, seed },
    )
  })

  it('never opens once a byte has changed, also with the right key and a fitting checksum', async () => {
    await fc.assert(
      fc.asyncProperty(mutations(keystore), async (bytes) => {
        const file = withChecksum(bytes)
        const result = parse(file)
        if (result.state !== 'parsed' || result.file.header.protection.by !== 'key-file') return
        const opened = await unlock(result.file, { by: 'key-file', key })
        assert.ok(Buffer.from(file).equals(keystore) || opened === 'damaged' || opened === 'wrong-secret')
      }),
      { numRuns: numRuns / 4, seed },
    )
  })

  it('lets nobody ask for more memory or time than the limits say', () => {
    const header = headerOf(exported)
    const protection = header['protection'] as object
    fc.assert(
      fc.property(
        fc.record({
          logN: fc.oneof(fc.integer(), fc.double(), fc.constantFrom(0, 13, 14, 18, 19, 30, 2 ** 53)),
          r: fc.oneof(fc.constantFrom(8, 1, 2 ** 20), fc.integer()),
          p: fc.oneof(fc.constantFrom(0, 1, 2, 3, 2 ** 30), fc.integer()),
        }),
        (cost) => {
          const result = parse(withHeader(exported, { ...header, protection: { ...protection, ...cost } }))
          if (result.state !== 'parsed') return
          assert.ok(cost.logN >= 14 && cost.logN <= 18 && cost.r === 8 && cost.p >= 1 && cost.p <= 2)
        },
      ),
      { numRuns, seed },
    )
  })

  it('has a header of the known members only, in one encoding', () => {
    const header = headerOf(keystore)
    assert.equal(parse(withHeader(keystore, header)).state, 'parsed')
    fc.assert(
      fc.property(fc.string(), fc.anything(), fc.constantFrom(...Object.keys(header)), (name, value, member) => {
        fc.pre(value === undefined || typeof value !== 'function')
        let changed: Uint8Array
        try {
          changed = withHeader(keystore, { ...header, [name]: value })
        } catch {
          return
        }
        const isKnown = Object.hasOwn(header, name)
        const { state } = parse(changed)
        assert.ok(isKnown ? ['parsed', 'damaged'].includes(state) : state === 'damaged')
        const { [member]: _, ...less } = header
        assert.equal(parse(withHeader(keystore, less)).state, 'damaged')
      }),
      { numRuns: numRuns / 4, seed },
    )
  })

  it('nests no deeper than the stack', () => {
    const deep = new Uint8Array(6_000).fill(0x81)
    const length = Uint8Array.of(deep.byteLength >> 8, deep.byteLength & 0xff)
    const file = Buffer.concat([keystore.subarray(0, 5), length, deep, new Uint8Array(80)])
    assert.equal(soon(() => parse(withChecksum(file))).state, 'damaged')
  })
})

describe('an import', () => {
  it('fails with a code for any file', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 10_000 }), mutations(exported)), async (bytes) => {
        const codes = ['NZ_IDENTITY_EXPORT_INVALID', 'NZ_IDENTITY_VERSION_UNKNOWN', 'NZ_IDENTITY_PASSPHRASE_WRONG']
        try {
          await importOf(bytes, text.encode('a passphrase'))
          assert.ok(Buffer.from(bytes).equals(exported))
        } catch (error) {
          assert.ok(isNzError(error, ...codes), String(error))
        }
      }),
      { numRuns: numRuns / 4, seed },
    )
  })
})

describe('the key file', () => {
  it('decodes or does not, for any bytes', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 500 }), mutations(keyFile)), (bytes) => {
        for (const file of [bytes, withChecksum(bytes)]) {
          const content = soon(() => decodeKeyFile(file))
          assert.ok(content === null || content.key.byteLength === 32)
        }
      }),
      { numRuns, seed },
    )
  })
})

describe('what people type', () => {
  it('is 24 words or an error that does not repeat them', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 2_000 }),
          fc.string().map((typed) => text.encode(typed)),
        ),
        (phrase) => {
          try {
            assert.equal(soon(() => entropyOf(phrase)).byteLength, 32)
          } catch (error) {
            assert.ok(isNzError(error, 'NZ_IDENTITY_WORDS_INVALID'), String(error))
          }
        },
      ),
      { numRuns, seed },
    )
  })

  it('is an id or not', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((tail) => `nz1${tail}`),
        ),
        (typed) => {
          for (const key of [publicKeyOfId(typed), publicKeyOfPeerId(typed)])
            assert.ok(key === null || key.length === 32)
        },
      ),
      { numRuns, seed },
    )
  })
})
