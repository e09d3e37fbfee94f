/**
 * The XML that routers answer with: elements and text, without attributes. Namespaces are cut off the names. Document
 * types are refused, so that nothing can be defined that grows. Pure and bounded.
 */

/** Descriptions of routers are 3 to 20 KiB. */
export const MAX_XML_BYTES = 64 * 1024
export const MAX_DEPTH = 16
export const MAX_ELEMENTS = 1_000

export interface XmlElement {
  /** Without its namespace. */
  readonly name: string
  /** Directly in it, without white space around. */
  readonly text: string
  readonly children: readonly XmlElement[]
}

interface Open {
  readonly name: string
  text: string
  readonly children: XmlElement[]
}

/** The root element; `null` for what is no such document, or beyond a bound. */
export function parseXml(document: string): XmlElement | null {
  if (document.length > MAX_XML_BYTES) return null
  const open: Open[] = [{ name: '', text: '', children: [] }]
  let count = 0
  let at = 0
  while (at < document.length) {
    const begin = document.indexOf('<', at)
    const inside = open.at(-1)
    if (inside === undefined) return null
    inside.text += unescape(document.slice(at, begin < 0 ? undefined : begin))
    if (begin < 0) break
    const end = endOf(document, begin)
    if (end === null) return null
    at = end.after
    if (end.skip) continue
    const tag = document.slice(begin + 1, end.after - 1)
    if (end.text !== null) inside.text += end.text
    else if (tag.startsWith('/')) {
      if (open.length === 1 || inside.name !== nameOf(tag.slice(1))) return null
      open.pop()
      open.at(-1)?.children.push({ ...inside, text: inside.text.trim() })
    } else {
      const name = nameOf(tag)
      count += 1
      if (name === null || open.length > MAX_DEPTH || count > MAX_ELEMENTS) return null
      if (tag.endsWith('/')) inside.children.push({ name, text: '', children: [] })
      else open.push({ name, text: '', children: [] })
    }
  }
  const [document0] = open
  return open.length === 1 && document0?.children.length === 1 ? (document0.children[0] ?? null) : null
}

/** All elements of that name, at any depth, in the order of the document. */
export function elementsOf(root: XmlElement, name: string): readonly XmlElement[] {
  const below = root.children.flatMap((child) => elementsOf(child, name))
  return root.name === name ? [root, ...below] : below
}

/** The text of the first child of that name; `null` without one. */
export function childText({ children }: XmlElement, name: string): string | null {
  return children.find((child) => child.name === name)?.text ?? null
}

export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

/** Where what begins at `begin` is over; `null` when nowhere, and for a document type. */
function endOf(document: string, begin: number): { after: number; skip: boolean; text: string | null } | null {
  const upTo = (mark: string, from: number): number => {
    const at = document.indexOf(mark, from)
    return at < 0 ? -1 : at + mark.length
  }
  const is = (mark: string): boolean => document.startsWith(mark, begin)
  const made = (after: number, rest: { skip?: boolean; text?: string } = {}) =>
    after < 0 ? null : { after, skip: rest.skip ?? false, text: rest.text ?? null }
  if (is('<!--')) return made(upTo('-->', begin + 4), { skip: true })
  if (is('<?')) return made(upTo('?>', begin + 2), { skip: true })
  if (is('<![CDATA[')) {
    const after = upTo(']]>', begin + 9)
    return made(after, { text: document.slice(begin + 9, after - 3) })
  }
  return is('<!') ? null : made(upTo('>', begin + 1))
}

function nameOf(tag: string): string | null {
  const [, name = null] = /^(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)(?=$|[\s/])/.exec(tag) ?? []
  return name
}

function unescape(text: string): string {
  const named: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
  return text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(amp|lt|gt|quot|apos));/gi, (whole, ten, sixteen, name) => {
    if (typeof name === 'string') return named[name.toLowerCase()] ?? whole
    const point = typeof ten === 'string' ? Number(ten) : Number.parseInt(String(sixteen), 16)
    return point > 0x10ffff ? whole : String.fromCodePoint(point)
  })
}
