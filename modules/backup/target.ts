/** Where archives go. */

export interface Target {
  readonly kind: 'folder' | 'command'
  /**
   * Takes what `produce` writes as one archive. When it resolves the archive is kept, whole; else there is none.
   *
   * @throws NZ_BACKUP_TARGET_FAILED, NZ_BACKUP_TARGET_LATE, and what `produce` throws
   */
  write<T>(name: string, produce: (write: (bytes: Uint8Array) => Promise<void>) => Promise<T>): Promise<T>
  /** Durable when it resolves; no error for what is not there. A command's archives are its own to remove. */
  remove(names: readonly string[]): Promise<void>
  /** Whether an archive may be gone on from: a folder is asked, a command is believed. */
  has(name: string): Promise<boolean>
}
