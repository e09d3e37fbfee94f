/** The archives this node has written, in the store; no part of any backup. */
import { z } from 'zod'
import type { Namespace } from '../storage/service.ts'
import type { BackupEntry } from './service.ts'

/** Archives that are remembered; the oldest are forgotten, their files stay. */
export const MAX_REMEMBERED = 1_024

const Remembered = z.strictObject({
  id: z.string(),
  name: z.string(),
  kind: z.enum(['full', 'incremental']),
  createdAtMs: z.int(),
  parent: z.string().nullable(),
  bytes: z.int(),
  sha256: z.string(),
  target: z.enum(['folder', 'command']),
  roots: z.array(z.strictObject({ name: z.string(), root: z.string() })),
  depth: z.int(),
  /** By part: what the next export goes on from. */
  marks: z.record(z.string(), z.string()),
})

/** An archive with what the next one needs of it. */
export interface Remembered extends BackupEntry {
  readonly depth: number
  readonly marks: Readonly<Record<string, string>>
}

export class Catalogue {
  readonly #namespace: Namespace

  /** `namespace` is `backup`, which no backup holds. */
  constructor(namespace: Namespace) {
    this.#namespace = namespace
  }

  /** Oldest first. What another version wrote in a form unknown here is passed over: its file is not touched. */
  async list(): Promise<readonly Remembered[]> {
    const found: Remembered[] = []
    for (let after = ''; ;) {
      const before = found.length
      const from = after === '' ? {} : { after }
      let read = 0
      for await (const { key, value } of this.#namespace.range(from)) {
        after = key
        read += 1
        const parsed = Remembered.safeParse(parse(value))
        if (parsed.success) found.push(parsed.data)
      }
      if (read === 0 || found.length - before > MAX_REMEMBERED) return found
    }
  }

  /** Durable when it resolves. */
  async add(entry: Remembered): Promise<void> {
    const known = await this.list()
    const forgotten = known.slice(0, Math.max(0, known.length + 1 - MAX_REMEMBERED))
    await this.remove(forgotten)
    await this.#namespace.put(keyOf(entry), Buffer.from(JSON.stringify(Remembered.parse(entry)), 'utf8'))
  }

  async remove(entries: readonly BackupEntry[]): Promise<void> {
    for (const entry of entries) await this.#namespace.delete(keyOf(entry))
  }
}

function keyOf({ createdAtMs, id }: BackupEntry): string {
  return `${String(createdAtMs).padStart(15, '0')}-${id}`
}

function parse(value: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(value).toString('utf8'))
  } catch {
    // Not of this version's making.
    return null
  }
}
