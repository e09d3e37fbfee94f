/** What the records say when one name of a content is gone. */
import { storedBytesOf } from './sealed-content.ts'
import type { Content } from './content-store.ts'
import type { Change, FileRecords, Sums } from './records.ts'

export interface NameRemoval {
  readonly contents: NonNullable<Change['contents']>
  readonly sums: Sums
  /** The content that no name has any more. */
  readonly released: Content | null
}

/** `sums`: as they are when the record of the name itself is gone. */
export async function withoutName(records: FileRecords, contentId: string, sums: Sums): Promise<NameRemoval> {
  const record = await records.content(contentId)
  if (record === null) return { contents: [], sums, released: null }
  const counted = sums.counted - 1
  if (record.names > 1) {
    const left = { ...record, names: record.names - 1 }
    return { contents: [[contentId, left]], sums: { ...sums, counted }, released: null }
  }
  const storedBytes = Math.max(0, sums.storedBytes - storedBytesOf(record.size))
  return {
    contents: [[contentId, null]],
    sums: { ...sums, counted, contents: sums.contents - 1, storedBytes },
    released: { contentId, record },
  }
}
