/**
 * The head: what was acknowledged last, sealed, written in the same batch as the records it speaks of; and the witness
 * beside the store, by which an older head is known as such. spec/NZ-STORAGE-01.md §4.
 */
import { z } from 'zod'

export const MAX_NAMESPACES = 64

const count = z.number().int().min(0)
const Sum = z.string().regex(/^[0-9a-f]{64}$/)
const StoredHead = z.strictObject({
  sequence: count,
  generation: z.number().int().min(1),
  quarantined: count,
  repaired: count.optional(),
  namespaces: z
    .array(
      z.strictObject({
        name: z.string(),
        sequence: count,
        records: count,
        bytes: count,
        sum: Sum,
        isCopy: z.literal(true).optional(),
      }),
    )
    // Each may be migrated at the same time.
    .max(2 * MAX_NAMESPACES),
})
const StoredWitness = z.strictObject({ sequence: count, generation: z.number().int().min(1) })

export interface NamespaceHead {
  /** Number of its last change. */
  readonly sequence: number
  readonly records: number
  readonly bytes: number
  readonly sum: bigint
  /** Whether its records count no more, or not yet: a migration makes or leaves it. */
  readonly isCopy: boolean
}

export interface Head {
  readonly sequence: number
  readonly generation: number
  readonly quarantined: number
  /** Number of the change by which a repair accepted what it found; 0 when there was none. */
  readonly repaired: number
  readonly namespaces: ReadonlyMap<string, NamespaceHead>
}

export type Witness = z.infer<typeof StoredWitness>

export const EMPTY_NAMESPACE: NamespaceHead = { sequence: 0, records: 0, bytes: 0, sum: 0n, isCopy: false }
export const EMPTY_HEAD: Head = { sequence: 0, generation: 1, quarantined: 0, repaired: 0, namespaces: new Map() }

export function encodeHead({ namespaces, repaired, ...head }: Head): Uint8Array {
  const listed = [...namespaces].map(([name, { sum, isCopy, ...rest }]) => ({
    name,
    ...rest,
    sum: sum.toString(16).padStart(64, '0'),
    ...(isCopy ? { isCopy } : {}),
  }))
  return Buffer.from(JSON.stringify({ ...head, ...(repaired > 0 ? { repaired } : {}), namespaces: listed }), 'utf8')
}

/** `null` when it is none. */
export function decodeHead(bytes: Uint8Array): Head | null {
  const parsed = StoredHead.safeParse(jsonOf(bytes))
  if (!parsed.success) return null
  const { namespaces, ...head } = parsed.data
  // Before repairs were numbered, only what they set aside told of them.
  const { repaired = head.quarantined > 0 ? 1 : 0 } = head
  return {
    ...head,
    repaired,
    namespaces: new Map(
      namespaces.map(({ name, sum, isCopy = false, ...rest }) => [name, { ...rest, sum: BigInt(`0x${sum}`), isCopy }]),
    ),
  }
}

export function encodeWitness(witness: Witness): Uint8Array {
  return Buffer.from(JSON.stringify(witness), 'utf8')
}

/** `null` when it is none. */
export function decodeWitness(bytes: Uint8Array): Witness | null {
  return StoredWitness.safeParse(jsonOf(bytes)).data ?? null
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    // Not JSON; the schema says so.
    return undefined
  }
}
