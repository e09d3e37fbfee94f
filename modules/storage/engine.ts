/** What the store needs of a disk: ordered bytes, atomic durable batches, snapshots. Knows nothing of keys or records. */

export type EngineOperation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array }

export type EngineEntry = readonly [key: Uint8Array, value: Uint8Array]

export interface EngineRange {
  readonly from: Uint8Array
  readonly before: Uint8Array
}

export interface EngineSnapshot {
  close(): Promise<void>
}

export interface Engine {
  /** `exists`: there must be a store. @throws when it cannot be opened; it may be tried again */
  open(options: { readonly exists: boolean }): Promise<void>
  close(): Promise<void>
  get(key: Uint8Array, snapshot?: EngineSnapshot): Promise<Uint8Array | null>
  /** As `get` for each, of one state. */
  getMany(keys: readonly Uint8Array[], snapshot?: EngineSnapshot): Promise<readonly (Uint8Array | null)[]>
  /** All or nothing; durable when it resolves. After a rejection nothing is known but that it was whole or not at all. */
  batch(operations: readonly EngineOperation[]): Promise<void>
  /** Everything, or what lies in `range`, in order of key, as of the call; many entries at a time. */
  pages(range?: EngineRange): AsyncIterable<readonly EngineEntry[]>
  snapshot(): EngineSnapshot
  /** Rejects while the disk refuses to take a small file. */
  probe(): Promise<void>
  /** Makes a store that cannot be opened openable with what is left of it; keeps a copy of it as it was. */
  salvage(): Promise<void>
  /** Removes the copy that `salvage` has kept when it is from before `beforeMs`; its bytes. */
  discardSalvage(beforeMs: number): Promise<number>
  /**
   * Rewrites the files without what was deleted or replaced, but for what open snapshots can still read. Reads and
   * batches go on meanwhile. Bytes of the files, logs of the engine's own not counted.
   */
  compact(): Promise<{ readonly bytesBefore: number; readonly bytesAfter: number }>
}
