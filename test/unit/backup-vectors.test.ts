/**
 * spec/vectors/backup.json against the code: the vectors of NZ-BACKUP-01.
 * `NZ_WRITE_VECTORS=1 node --test test/unit/backup-vectors.test.ts` writes them anew.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { it } from 'node:test'
import { seededRandom } from '../../kernel/index.ts'
import { identityOfWords, phraseOf } from '../../modules/identity/index.ts'
import { BACKUP_PURPOSE, recoveryKeyOf } from '../../modules/backup/recovery-key.ts'
import { combineShares } from '../../modules/backup/shares.ts'
import { writeArchive } from '../../modules/backup/write-archive.ts'
import { AgeOpener } from '../../protocols/backup/age-payload.ts'
import { recipientOf } from '../../protocols/backup/age-recipient.ts'
import { ArchiveDecoder } from '../../protocols/backup/archive.ts'
import { encodeShare } from '../../protocols/backup/share.ts'
import { specVectors } from '../vectors.ts'
import type { IdentityService } from '../../modules/identity/service.ts'

const ENTROPY = Uint8Array.from({ length: 32 }, (_, at) => at)
const SET_ID = Uint8Array.of(1, 2, 3, 4)
const parts = [
  { name: 'storage', isFull: true, items: ['one', 'two'], root: 'root-of-storage' },
  { name: 'config', isFull: true, items: [], root: 'root-of-config' },
]

const identityOf = async (entropy: Uint8Array): Promise<IdentityService & Disposable> =>
  await identityOfWords(phraseOf(entropy))

async function* each(items: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const item of items) yield Buffer.from(item)
  await Promise.resolve()
}

async function computed() {
  using identity = await identityOf(ENTROPY)
  const { publicKey } = recoveryKeyOf(identity)
  const head = {
    id: 'ab'.repeat(16),
    peerId: identity.self.peerId,
    createdAtMs: 1_700_000_000_000,
    parent: null,
    depth: 0,
  }
  const written: Uint8Array[] = []
  const { sha256 } = await writeArchive({
    head,
    exports: parts.map(({ name, isFull, items, root }) => ({
      name,
      opened: {
        mark: 'mark',
        isFull,
        items: each(items),
        root: async () => await Promise.resolve(root),
        [Symbol.asyncDispose]: async () => await Promise.resolve(),
      },
    })),
    recipients: [publicKey],
    random: seededRandom(1),
    sign: (manifest) => identity.sign(BACKUP_PURPOSE, manifest),
    write: async (bytes) => void written.push(bytes),
    signal: new AbortController().signal,
  })
  const subject = createHash('sha256').update(identity.self.nodePublicKey).digest().subarray(0, 4)
  // A polynomial of the first degree for each byte: byte + slope · place.
  const slope = seededRandom(2).bytes(ENTROPY.byteLength)
  const shares = [1, 2, 3].map((place) =>
    encodeShare({
      setId: SET_ID,
      threshold: 2,
      count: 3,
      number: place,
      subject,
      bytes: Uint8Array.of(...ENTROPY.map((byte, at) => byte ^ product(slope[at] ?? 0, place)), place),
    }),
  )
  return {
    entropy: Buffer.from(ENTROPY).toString('hex'),
    recipient: recipientOf(publicKey),
    archive: { head, parts, sha256, file: Buffer.concat(written).toString('base64') },
    shares,
  }
}

/** In GF(2^8) with the polynomial 0x11b. */
function product(a: number, b: number): number {
  let result = 0
  for (let bit = 0, shifted = a; bit < 8; bit++) {
    if ((b >> bit) & 1) result ^= shifted
    shifted = (shifted << 1) ^ (shifted & 0x80 ? 0x11b : 0)
  }
  return result
}

it('holds the vectors of NZ-BACKUP-01', async () => {
  const made = await computed()
  if (process.env['NZ_WRITE_VECTORS'] === '1') {
    const file = resolve(import.meta.dirname, '../../spec/vectors/backup.json')
    writeFileSync(file, `${JSON.stringify(made, null, 2)}\n`)
  }
  const vectors = specVectors<typeof made>('backup.json')
  assert.deepEqual(made, vectors)

  using identity = await identityOf(ENTROPY)
  const opener = new AgeOpener(recoveryKeyOf(identity))
  const { signingPublicKey, nodePublicKey } = identity.self
  const decoder = new ArchiveDecoder((manifest, signature) =>
    identity.verify(BACKUP_PURPOSE, manifest, signature, signingPublicKey),
  )
  const plaintext = Buffer.concat([...opener.push(Buffer.from(vectors.archive.file, 'base64')), opener.finish()])
  const events = [...decoder.push(plaintext)]
  decoder.finish()
  const items = events.flatMap((event) => (event.kind === 'item' ? [Buffer.from(event.item).toString()] : []))
  assert.deepEqual(items, ['one', 'two'])
  const last = events.at(-1)
  assert.deepEqual(
    last?.kind === 'manifest' ? last.manifest.parts.map(({ root }) => root) : [],
    parts.map(({ root }) => root),
  )
  for (const pair of [
    [0, 1],
    [2, 0],
    [1, 2],
  ] as const) {
    const some = pair.map((at) => vectors.shares[at] ?? '')
    assert.deepEqual(await combineShares(some, async () => await Promise.resolve(nodePublicKey)), ENTROPY)
  }
})
