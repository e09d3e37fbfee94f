/**
 * What of a record may lie readable on a disk: not who this node talks to, nor what about. Log files are in clear, so
 * that they can be read when nothing else works; whole records are in memory, for `nzcore logs` of a running node.
 */
import { createHmac, randomBytes } from 'node:crypto'

/** Fields that name people, files or places. */
const NAMING = /^(name|peer|contact|reference|subject|matches|path|directory|folder|address|addresses|host|service)$/i
const PEER_ID = /\b(?:12D3KooW|Qm)[1-9A-HJ-NP-Za-km-z]{30,60}\b|\bnz1[02-9ac-hj-np-z]{30,80}\b/g
const MULTIADDR = /\/(?:ip4|ip6|dns|dns4|dns6|dnsaddr)\/[^\s,'")\]]+/g
/** As the file system quotes them in its errors. */
const QUOTED_PATH = /'(\/[^']*)'/g
const HIDDEN = '<not written to disk>'

export class Veil {
  readonly #ownFolder: string
  /** One for each process: what two of them wrote about one peer cannot be put together. */
  readonly #salt = randomBytes(16)

  /** Paths below `ownFolder` are the node's own and stay. */
  constructor(ownFolder: string) {
    this.#ownFolder = ownFolder
  }

  /** `fields` as they may be written; a peer is the same `peer-…` throughout a process. */
  fields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
    return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, this.#value(value, NAMING.test(key))]))
  }

  #value(value: unknown, isNaming: boolean): unknown {
    if (typeof value === 'string') return isNaming && !this.#isOwn(value) ? HIDDEN : this.#text(value)
    if (Array.isArray(value)) return value.map((item) => this.#value(item, isNaming))
    if (typeof value === 'object' && value !== null) return this.fields(value as Record<string, unknown>)
    return value
  }

  #text(text: string): string {
    return text
      .replace(MULTIADDR, HIDDEN)
      .replace(PEER_ID, (id) => `peer-${createHmac('sha256', this.#salt).update(id).digest('hex').slice(0, 8)}`)
      .replace(QUOTED_PATH, (quoted, path: string) => (this.#isOwn(path) ? quoted : `'${HIDDEN}'`))
  }

  #isOwn(path: string): boolean {
    return path.startsWith(`${this.#ownFolder}/`)
  }
}
