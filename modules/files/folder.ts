/** Where sealed contents lie: a folder of a disk, or memory. Names are 64 hex digits. */

/** What goes wrong is thrown as the system says it (`code`: ENOSPC, EIO, …). */
export interface ContentFolder {
  /** Makes it ready and removes drafts that a crash has left. */
  open(): Promise<void>
  /** A file that has no name yet. Publish or discard it. */
  draft(): Promise<Draft>
  /** `null` when there is none. Close it. */
  read(name: string): Promise<ContentFile | null>
  /** All that were published. */
  names(): Promise<readonly string[]>
  /** When it was written, milliseconds since 1970; `null` when there is none. */
  writtenAtMs(name: string): Promise<number | null>
  /** No error when there is none. */
  remove(name: string): Promise<void>
  /** Keeps a damaged file out of the way; no error when there is none. */
  setAside(name: string): Promise<void>
  /** Removes what was set aside; how many there were. */
  removeSetAside(options: { readonly isDryRun: boolean }): Promise<number>
}

export interface Draft {
  /** Writes all of `bytes` after what was written before; they may be reused afterwards. */
  append(bytes: Uint8Array): Promise<void>
  /** Durable when it resolves, though under no name. */
  finish(): Promise<void>
  /** Gives the finished draft its name, in place of another file of that name. Durable when it resolves. */
  publish(name: string): Promise<void>
  /** No error when it was published or discarded before. */
  discard(): Promise<void>
}

export interface ContentFile {
  readonly size: number
  /** Fills `buffer` from `position` on, less only at the end of the file: how many bytes. */
  readAt(buffer: Uint8Array, position: number): Promise<number>
  close(): Promise<void>
}
