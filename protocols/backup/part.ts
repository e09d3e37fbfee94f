/**
 * What a component with durable state offers to backups. It never sees an archive, a key or a target: it gives bytes
 * and takes them back. spec/NZ-BACKUP-01.md §2.
 */

/** The largest item of an export: a record of 1 MiB with its names around it. */
export const MAX_ITEM_BYTES = 1_114_112

/**
 * One component's share of a backup. What a module keeps in the store is carried by the store's own part; a part of its
 * own has who keeps bytes elsewhere. Exports of one backup are opened one after another, the store's first, before any
 * is read: what a record of the store names must still be there when the next part's export is opened.
 */
export interface BackupPart {
  /** `[a-z][a-z0-9-]*`, at most 32 characters; never renamed, archives know it. */
  readonly name: string
  /**
   * Everything, or what changed after `since` (the mark of an earlier export), as of one moment: that in which this
   * resolves. A part that does not know `since`, or not surely, exports everything.
   */
  export(options: { readonly since?: string; readonly signal: AbortSignal }): Promise<PartExport>
  /**
   * Into an empty component, then once for each later export, in their order. Every item is of `export`'s making, but
   * may come from another version: what cannot be applied is refused by throwing.
   */
  restore(items: AsyncIterable<Uint8Array>, options: { readonly signal: AbortSignal }): Promise<void>
  /**
   * Digest of the logical content as it is now: equal before a backup and after its restore, on any machine, whatever
   * keys, order or files the bytes lie in. Leaves out what ends by itself (records with an end) and the bookkeeping of
   * backups. At most 128 printable ASCII characters.
   */
  root(options: { readonly signal: AbortSignal }): Promise<string>
}

/** An export under way. It is disposed of by who opened it, read or not; a second disposal does nothing. */
export interface PartExport extends AsyncDisposable {
  /**
   * Names this moment for a later `since`; at most 1,024 printable ASCII characters. Of use once `items` was read to its
   * end. The part keeps what it needs for it until four newer marks exist; the one given as `since` lives on meanwhile.
   */
  readonly mark: string
  /** Whether `items` is everything. `false` only when `since` was given. */
  readonly isFull: boolean
  /** Each of 1 byte to `MAX_ITEM_BYTES`, an own buffer. Read once, in constant memory. */
  readonly items: AsyncIterable<Uint8Array>
  /** What `root` would have said in the moment of the export. Asked after `items` was read to its end. */
  root(): Promise<string>
}
