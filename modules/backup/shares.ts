/** The recovery words split among people: any `threshold` of the shares give them back, fewer tell nothing. */
import { createHash, randomBytes } from 'node:crypto'
import { combine, split } from 'shamir-secret-sharing'
import { decodeShare, encodeShare, MAX_SHARES } from '../../protocols/backup/share.ts'
import { archiveErrors } from './service.ts'
import type { Share } from '../../protocols/backup/share.ts'

const ENTROPY_BYTES = 32
const SUBJECT_BYTES = 4

export interface SplitInit {
  /** The 32 bytes that the words stand for; they stay the caller's to zero. */
  readonly entropy: Uint8Array
  readonly nodePublicKey: Uint8Array
  readonly count: number
  readonly threshold: number
}

/** `count` texts for paper. @throws RangeError for numbers other than 2 ≤ threshold ≤ count ≤ 255 */
export async function splitWords({ entropy, nodePublicKey, count, threshold }: SplitInit): Promise<readonly string[]> {
  if (entropy.byteLength !== ENTROPY_BYTES) throw new TypeError('the words stand for 32 bytes')
  if (!(threshold >= 2 && threshold <= count && count <= MAX_SHARES)) throw new RangeError('not such numbers of shares')
  // The library looks at the constructor: a Buffer is not what it takes.
  const secret = Uint8Array.from(entropy)
  const setId = new Uint8Array(randomBytes(4))
  const subject = subjectOf(nodePublicKey)
  try {
    const shares = await split(secret, count, threshold)
    const texts = shares.map((bytes, at) => encodeShare({ setId, threshold, count, number: at + 1, subject, bytes }))
    for (const bytes of shares) bytes.fill(0)
    return texts
  } finally {
    secret.fill(0)
  }
}

/**
 * The 32 bytes that the words stand for, which the caller zeroes. `publicKeyOf` derives the node public key of them:
 * what does not give the identity that was split is not given out.
 *
 * @throws NZ_BACKUP_SHARE_INVALID, NZ_BACKUP_SHARES_MIXED, NZ_BACKUP_SHARES_FEW, NZ_BACKUP_VERSION_UNKNOWN
 */
export async function combineShares(
  texts: readonly string[],
  publicKeyOf: (entropy: Uint8Array) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const shares = distinct(texts.map(decodeShare))
  const [first] = shares
  if (first === undefined) throw archiveErrors.NZ_BACKUP_SHARES_FEW({ why: 'no share was given' })
  const isSame = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
  const isOfSet = (share: Share): boolean =>
    isSame(share.setId, first.setId) &&
    isSame(share.subject, first.subject) &&
    share.threshold === first.threshold &&
    share.count === first.count
  if (!shares.every(isOfSet)) throw archiveErrors.NZ_BACKUP_SHARES_MIXED({ data: { sets: setsOf(shares) } })
  if (shares.length < first.threshold) {
    const why = `there are ${shares.length} of the ${first.threshold} that are needed`
    throw archiveErrors.NZ_BACKUP_SHARES_FEW({ why, data: { given: shares.length, needed: first.threshold } })
  }
  const entropy = await combine(shares.slice(0, first.threshold).map(({ bytes }) => Uint8Array.from(bytes)))
  for (const { bytes } of shares) bytes.fill(0)
  const isRight = entropy.byteLength === ENTROPY_BYTES && isSame(subjectOf(await publicKeyOf(entropy)), first.subject)
  if (isRight) return entropy
  entropy.fill(0)
  throw archiveErrors.NZ_BACKUP_SHARES_MIXED({ why: 'together they give another identity than the one that was split' })
}

/** The same share twice counts once. @throws NZ_BACKUP_SHARES_MIXED when two of a set's number or place differ */
function distinct(shares: readonly Share[]): readonly Share[] {
  const byPlace = new Map<string, Share>()
  for (const share of shares) {
    const place = `${Buffer.from(share.setId).toString('hex')} ${share.bytes.at(-1) ?? 0}`
    const before = byPlace.get(place)
    const isOther = before !== undefined && Buffer.compare(before.bytes, share.bytes) !== 0
    if (isOther)
      throw archiveErrors.NZ_BACKUP_SHARES_MIXED({ why: 'two of them are the same share with other contents' })
    byPlace.set(place, share)
  }
  return [...byPlace.values()]
}

function setsOf(shares: readonly Share[]): readonly string[] {
  return [...new Set(shares.map(({ setId }) => Buffer.from(setId).toString('hex')))]
}

function subjectOf(nodePublicKey: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(nodePublicKey).digest().subarray(0, SUBJECT_BYTES))
}
