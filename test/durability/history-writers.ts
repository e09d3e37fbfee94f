/**
 * Writers of an event log and of documents through the local API, one call of each under way at a time, and the proof of
 * what they find again: everything acknowledged, and at most what was under way besides.
 */
import { createHash } from 'node:crypto'
import type { NzClient } from '../../sdk/index.ts'

const LOG = 'kill'
/** Versions after which the next document is begun. */
const VERSIONS_EACH = 12
const MAX_LISTED = 1_000

interface Put {
  readonly document: string
  readonly parents: readonly string[]
  readonly content: string
}

/** What one document must hold: its versions by id. */
type Known = Map<string, { readonly parents: readonly string[]; readonly content: string }>

export class HistoryWriters {
  readonly #seed: number
  /** The last entry that is known to be there, with its hash. */
  #last: { sequence: number; hash: string | null } = { sequence: 0, hash: null }
  #entriesUnderWay = 0
  readonly #documents = new Map<string, Known>()
  /** Documents that were written to since the last proof. */
  readonly #touched = new Set<string>()
  #putUnderWay: Put | null = null
  #acknowledged = 0

  constructor(seed: number) {
    this.#seed = seed
  }

  get acknowledged(): number {
    return this.#acknowledged
  }

  /** Writes until calls fail, as they do when the node is killed; the errors of those calls. */
  async write(client: NzClient): Promise<readonly unknown[]> {
    const untilItFails = async (step: () => Promise<void>): Promise<unknown> => {
      for (;;) {
        try {
          await step()
          this.#acknowledged += 1
        } catch (error) {
          return error
        }
      }
    }
    return await Promise.all([
      untilItFails(async () => await this.#append(client)),
      untilItFails(async () => await this.#put(client)),
    ])
  }

  /** What is wrong with the log and the documents of the node; `null` when nothing is. Goes on from what is there. */
  async settle(client: NzClient): Promise<string | null> {
    return (await this.#settleLog(client)) ?? (await this.#settleDocuments(client))
  }

  /** Between one and three entries at once, each told by its sequence. */
  async #append(client: NzClient): Promise<void> {
    const { sequence } = this.#last
    const count = 1 + (sequence % 3)
    this.#entriesUnderWay = count
    const entries = Array.from({ length: count }, (_, i) => this.#entryOf(sequence + 1 + i))
    const { last, hash } = await client.logAppend({ log: LOG, entries })
    if (last !== sequence + count) throw new Error(`${count} entries behind ${sequence} end with ${last}`)
    this.#entriesUnderWay = 0
    this.#last = { sequence: last, hash }
  }

  #entryOf(sequence: number): string {
    return `${this.#seed} ${sequence} ${'entry '.repeat(sequence % 400)}`
  }

  async #settleLog(client: NzClient): Promise<string | null> {
    const { sequence, hash } = this.#last
    const { logs } = await client.logList({})
    const found = logs.find(({ name }) => name === LOG)
    if (found === undefined) return sequence === 0 ? null : 'the log is gone'
    if (found.last < sequence || found.last > sequence + this.#entriesUnderWay)
      return `the log ends with ${found.last} where ${sequence} are acknowledged, ${this.#entriesUnderWay} under way`
    for await (const item of client.logVerify({ log: LOG })) {
      if (item.type === 'proof' && (!item.isIntact || item.entries !== found.last || item.lost.length > 0))
        return `the log is not whole: ${JSON.stringify(item)}`
    }
    // The chain is proven: the hash of the last one stands for all before it.
    const { items } = await client.logRead({ log: LOG, after: Math.max(0, sequence - 3), limit: 10 })
    for (const item of items) {
      if (item.type !== 'entry' || item.payload !== this.#entryOf(item.sequence))
        return `not the entry that was appended: ${JSON.stringify(item)}`
      if (item.sequence === sequence && item.hash !== hash && hash !== null)
        return `entry ${sequence} is another one than was acknowledged`
    }
    this.#last = { sequence: found.last, hash: found.hash }
    this.#entriesUnderWay = 0
    return null
  }

  /** One after the other; each third one beside the one before, and then both are brought together. */
  async #put(client: NzClient): Promise<void> {
    let document = `document ${this.#documents.size - 1}`
    let known = this.#documents.get(document)
    if (known === undefined || (known.size >= VERSIONS_EACH && headsOf(known).length === 1)) {
      document = `document ${this.#documents.size}`
      known = new Map()
      this.#documents.set(document, known)
    }
    this.#touched.add(document)
    const heads = headsOf(known)
    const [head] = heads
    const before = head === undefined ? [] : (known.get(head)?.parents ?? [])
    const parents = heads.length === 1 && known.size % 3 === 2 && before.length === 1 ? before : heads
    const content = `${this.#seed} ${document} ${known.size} ${'draft '.repeat((known.size * 97) % 700)}`
    this.#putUnderWay = { document, parents, content }
    const [parent] = parents
    const { version } =
      parents.length > 1
        ? await client.docsMerge({ document, content, parents: [...parents] })
        : await client.docsPut({ document, content, allowsFork: true, ...(parent === undefined ? {} : { parent }) })
    this.#putUnderWay = null
    known.set(version.id, { parents, content })
  }

  async #settleDocuments(client: NzClient): Promise<string | null> {
    for (const document of this.#touched) {
      const wrong = await this.#settleDocument(client, document)
      if (wrong !== null) return wrong
    }
    this.#touched.clear()
    this.#putUnderWay = null
    let after = ''
    const counts = new Map<string, number>()
    for (let hasMore = true; hasMore;) {
      const listed = await client.docsList({ limit: MAX_LISTED, ...(after === '' ? {} : { after }) })
      for (const { document, versions } of listed.documents) counts.set(document, versions)
      hasMore = listed.hasMore
      after = listed.documents.at(-1)?.document ?? ''
    }
    for (const [document, known] of this.#documents) {
      if ((counts.get(document) ?? 0) !== known.size) return `${document} has ${counts.get(document)} of ${known.size}`
    }
    return null
  }

  async #settleDocument(client: NzClient, document: string): Promise<string | null> {
    const known = this.#documents.get(document) ?? new Map()
    const underWay = this.#putUnderWay?.document === document ? this.#putUnderWay : null
    const { documents } = await client.docsList({ prefix: document, limit: MAX_LISTED })
    const listed = documents.find((one) => one.document === document)
    if (listed === undefined) return known.size === 0 ? null : `${document} is gone`
    const { versions } = await client.docsHistory({ document, limit: 100 })
    for (const { id, parents, contentHash } of versions) {
      const isNew = !known.has(id)
      const should = known.get(id) ?? underWay
      if (should === null) return `${document} has a version ${id} that nobody put`
      const { content } = await client.docsGet({ document, version: id })
      const isRight =
        content === should.content &&
        contentHash === createHash('sha256').update(content).digest('hex') &&
        parents.toSorted().join() === should.parents.toSorted().join()
      if (!isRight) return `${document}: version ${id} is not the one that was put`
      if (isNew) known.set(id, { parents: should.parents, content: should.content })
    }
    const ids = new Set(versions.map(({ id }) => id))
    for (const id of known.keys()) if (!ids.has(id)) return `${document}: version ${id} is missing`
    const heads = headsOf(known)
    const told = listed.heads.map(({ id }) => id).toSorted()
    if (told.join() !== heads.join()) return `${document}: heads are ${told.join()} and not ${heads.join()}`
    const marked = versions.filter(({ isHead }) => isHead).map(({ id }) => id)
    return marked.toSorted().join() === heads.join() ? null : `${document}: the history marks ${marked.join()} as heads`
  }
}

/** Versions that nothing follows, in order of id. */
function headsOf(known: Known): readonly string[] {
  const followed = new Set([...known.values()].flatMap(({ parents }) => parents))
  return [...known.keys()].filter((id) => !followed.has(id)).toSorted()
}
