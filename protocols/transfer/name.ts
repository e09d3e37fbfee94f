/**
 * What a name chosen by a peer becomes in a folder of this machine. spec/NZ-TRANSFER-01 §7.
 * The rules are those of every platform at once, so that a received folder can be copied anywhere.
 */

/** What the common file systems allow for one name. */
export const MAX_FILE_NAME_BYTES = 255

/** Control characters, line and paragraph separators, bidirectional marks and overrides, zero-width characters. */
const INVISIBLE =
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu

const SEPARATORS_AND_RESERVED = /[/\\<>:"|?*]/gu

/** Names that Windows takes for devices, whatever their extension. */
const DEVICES = /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?=$|[. ])/iu

/**
 * A single file name: no separator, control or direction character, no leading dot, no device name, no trailing dot
 * or space, at most 255 bytes of UTF-8 (the extension survives a cut). Never empty.
 */
export function safeFileName(offered: string): string {
  const visible = offered.toWellFormed().normalize('NFC').replace(INVISIBLE, '').replace(SEPARATORS_AND_RESERVED, '_')
  const trimmed = visible
    .trim()
    .replace(/^\.+/u, '_')
    .replace(/[. ]+$/u, '')
  const named = trimmed === '' || trimmed === '_' ? 'unnamed' : trimmed
  const harmless = DEVICES.test(named) ? `_${named}` : named
  return cut(harmless, MAX_FILE_NAME_BYTES)
}

/** `report.pdf` → `report (2).pdf`, within the length limit; the name itself for 1. */
export function numberedFileName(name: string, number: number): string {
  if (number <= 1) return name
  const [stem, extension] = split(name)
  const suffix = ` (${number})${extension}`
  return cutBytes(stem, MAX_FILE_NAME_BYTES - Buffer.byteLength(suffix)) + suffix
}

function cut(name: string, maximum: number): string {
  if (Buffer.byteLength(name) <= maximum) return name
  const [stem, extension] = split(name)
  return cutBytes(stem, maximum - Buffer.byteLength(extension)) + extension
}

/** Stem and extension; an extension is at most 16 bytes, so that what is cut is the stem. */
function split(name: string): [string, string] {
  const dot = name.lastIndexOf('.')
  if (dot <= 0 || Buffer.byteLength(name.slice(dot)) > 16) return [name, '']
  return [name.slice(0, dot), name.slice(dot)]
}

/** At most `maximum` bytes, cut between code points. */
function cutBytes(text: string, maximum: number): string {
  let length = 0
  let result = ''
  for (const character of text) {
    length += Buffer.byteLength(character)
    if (length > maximum) break
    result += character
  }
  return result.replace(/[. ]+$/u, '')
}
