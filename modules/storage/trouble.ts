/** What keeps a store from working in full, and how an error of the disk reads. */
import type { Witness } from './head.ts'
import type { Scan } from './scan.ts'

export type Trouble =
  | { readonly kind: 'damaged'; readonly why: string }
  | { readonly kind: 'unavailable'; readonly why: string }
  | { readonly kind: 'readOnly'; readonly why: string }
  | { readonly kind: 'closed'; readonly why: string }

/** Why nothing in the store can be believed; `null` when it can be judged namespace by namespace. */
export function wholeDamage({ head, isEmpty }: Scan, known: Witness | 'none' | 'unreadable'): string | null {
  if (known === 'unreadable') return 'the note of how far the store had come is damaged'
  if (head === null) return isEmpty && known === 'none' ? null : 'the head of the store is damaged or missing'
  if (known === 'none') return null
  const isOlder = head.sequence < known.sequence || head.generation < known.generation
  return isOlder ? 'the store is older than it was when it was last noted' : null
}

/** What a store that cannot be opened or read suffers from, by LevelDB's words. */
export function troubleOf(error: unknown): Trouble {
  const text = chainOf(error)
  const why = reasonOf(error)
  return /corrupt|does not exist|missing|no such file|not an sstable|bad magic|checksum|truncated|mismatch/i.test(text)
    ? { kind: 'damaged', why }
    : { kind: 'unavailable', why }
}

export function reasonOf(error: unknown): string {
  const text = chainOf(error)
  const known = [
    ['no space left', 'no space is left on the disk (ENOSPC)'],
    ['ENOSPC', 'no space is left on the disk (ENOSPC)'],
    ['quota exceeded', 'the disk quota is used up (EDQUOT)'],
    ['read-only file system', 'the disk is mounted read-only (EROFS)'],
    ['input/output error', 'the disk failed (EIO)'],
    ['i/o error', 'the disk failed (EIO)'],
    ['too many open files', 'too many files are open (EMFILE)'],
    ['corrupt', 'the files of the store are damaged'],
    ['does not exist', 'the files of the store are missing'],
    ['no such file', 'a file of the store is missing'],
  ] as const
  return known.find(([words]) => text.toLowerCase().includes(words.toLowerCase()))?.[1] ?? 'the disk refused'
}

function chainOf(error: unknown): string {
  const parts: string[] = []
  for (let at = error; at instanceof Error && parts.length < 8; at = at.cause) parts.push(`${at.name} ${at.message}`)
  return parts.join(' ')
}
