/** Names of stored files: records, never paths of a file system, and yet safe as relative paths. NZ-FILES-01 §1. */
import { filesErrors } from './service.ts'

export const MAX_NAME_BYTES = 500
const MAX_MIME_LENGTH = 255
const CONTENT_PREFIX = 'sha256:'

/** Control characters, marks that turn the direction of text, line separators, halves of characters. */
const UNFIT = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\\]/u

/** The name in Unicode form C. @throws NZ_FILES_NAME_INVALID */
export function nameOf(typed: string): string {
  const name = typed.normalize('NFC')
  const isWhole = name.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
  const isFit = isWhole && !UNFIT.test(name) && Buffer.byteLength(name) <= MAX_NAME_BYTES
  // Such a name means a content.
  if (isFit && !name.startsWith(CONTENT_PREFIX)) return name
  throw filesErrors.NZ_FILES_NAME_INVALID()
}

/** The content id of `sha256:<64 hex digits>`, else `null`. */
export function contentIdOf(typed: string): string | null {
  return /^sha256:[0-9a-f]{64}$/.test(typed) ? typed.slice(CONTENT_PREFIX.length) : null
}

/** @throws NZ_FILES_MIME_INVALID */
export function mimeOf(typed: string | undefined): string | null {
  if (typed === undefined) return null
  const isFit = typed.length <= MAX_MIME_LENGTH && /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+(?: *;[ -~]*)?$/.test(typed)
  if (!isFit) throw filesErrors.NZ_FILES_MIME_INVALID()
  return typed
}
