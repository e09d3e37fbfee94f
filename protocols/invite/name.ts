/** Names that peers propose for themselves: what of them may reach a terminal, a file or an address book (NZ-INVITE-01 §6). */

/** Longest name, in code points. */
export const MAX_NAME_LENGTH = 32

/** What a name may never look like, or a contact could pass for another one's id. */
const ID_LIKE = /^(nz1|nzi1|12d3koo)/i

/**
 * `proposed` made fit to show and to type: NFC, letters, marks, digits, symbols and ` ._+-` only (so no control, format
 * or bidirectional characters, no quotes or separators), single spaces, no leading dash or dot, at most 32 code points,
 * nothing that reads like an id. `null` when nothing is left.
 */
export function displayName(proposed: string): string | null {
  const plain = proposed
    .slice(0, 1_024)
    .normalize('NFC')
    .replace(/\s+/gu, ' ')
    .replace(/[^\p{L}\p{M}\p{N}\p{So} ._+-]/gu, '')
    .replace(/(\p{M}{2})\p{M}+/gu, '$1')
    .replace(/ +/g, ' ')
    .replace(/^[\p{M} ._-]+/gu, '')
  const name = Array.from(plain).slice(0, MAX_NAME_LENGTH).join('').trimEnd().normalize('NFC')
  return name === '' || ID_LIKE.test(name) ? null : name
}

/** `wanted`, or `wanted-2`, `wanted-3`, … when `isTaken` says so; never longer than a name may be. */
export function freeName(wanted: string, isTaken: (name: string) => boolean): string {
  if (!isTaken(wanted)) return wanted
  for (let number = 2; ; number++) {
    const suffix = `-${number}`
    const stem = Array.from(wanted)
      .slice(0, MAX_NAME_LENGTH - suffix.length)
      .join('')
      .trimEnd()
    if (!isTaken(`${stem}${suffix}`)) return `${stem}${suffix}`
  }
}
