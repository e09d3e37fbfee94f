/** One share of split recovery words as text for paper: bech32m, so that a wrong character is noticed. NZ-BACKUP-01 §7. */
import { bech32m } from '@scure/base'
import { archiveErrors } from './errors.ts'

const PREFIX = 'nzshare'
const VERSION = 1
const SET_BYTES = 4
const SUBJECT_BYTES = 4
/** 32 bytes of the secret's polynomials and the place they were taken at. */
export const SHARE_BYTES = 33
const TOTAL_BYTES = 1 + SET_BYTES + 3 + SUBJECT_BYTES + SHARE_BYTES
const MAX_CHARACTERS = 90
export const MAX_SHARES = 255

export interface Share {
  /** 4 bytes, the same in all shares of one split. */
  readonly setId: Uint8Array
  /** How many shares give the words. */
  readonly threshold: number
  readonly count: number
  /** 1 to `count`. */
  readonly number: number
  /** First 4 bytes of SHA-256 of the identity's node public key. */
  readonly subject: Uint8Array
  readonly bytes: Uint8Array
}

export function encodeShare({ setId, threshold, count, number, subject, bytes }: Share): string {
  const payload = Uint8Array.of(VERSION, ...setId, threshold, count, number, ...subject, ...bytes)
  if (payload.byteLength !== TOTAL_BYTES) throw new TypeError('not a share')
  return bech32m.encode(PREFIX, bech32m.toWords(payload))
}

/** White space around and inside is ignored: paper has lines. @throws NZ_BACKUP_SHARE_INVALID */
export function decodeShare(text: string): Share {
  const compact = text.slice(0, 4 * MAX_CHARACTERS).replaceAll(/\s/g, '')
  if (compact.length > MAX_CHARACTERS) throw invalid('it is too long')
  const decoded = bech32m.decodeUnsafe(compact)
  if (decoded === undefined) throw invalid('a character is wrong or missing')
  const payload = bech32m.fromWordsUnsafe(decoded.words)
  if (decoded.prefix !== PREFIX || !(payload instanceof Uint8Array)) throw invalid('it is something else')
  const [version = 0] = payload
  if (version !== VERSION) throw archiveErrors.NZ_BACKUP_VERSION_UNKNOWN({ why: 'the share is of a newer kind' })
  if (payload.byteLength !== TOTAL_BYTES) throw invalid('its length is wrong')
  const [threshold = 0, count = 0, number = 0] = payload.subarray(1 + SET_BYTES)
  if (threshold < 2 || threshold > count || number < 1 || number > count) throw invalid('its numbers do not fit')
  const subjectAt = 1 + SET_BYTES + 3
  return {
    setId: payload.slice(1, 1 + SET_BYTES),
    threshold,
    count,
    number,
    subject: payload.slice(subjectAt, subjectAt + SUBJECT_BYTES),
    bytes: payload.slice(subjectAt + SUBJECT_BYTES),
  }
}

function invalid(why: string): Error {
  return archiveErrors.NZ_BACKUP_SHARE_INVALID({ why })
}
