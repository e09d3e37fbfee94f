/** Sealed contents in memory: for simulations and tests. */
import type { Clock } from '../../kernel/index.ts'
import type { ContentFile, ContentFolder, Draft } from './folder.ts'

export class MemoryFolder implements ContentFolder {
  /** Published contents by name, as they would lie on a disk; a test may change them. */
  readonly files: Map<string, Uint8Array>
  readonly setAsideFiles = new Map<string, Uint8Array>()
  /** Drafts that are neither published nor discarded. */
  drafts = 0
  bytesRead = 0
  readonly #clock: Clock
  readonly #writtenAtMs = new Map<string, number>()

  constructor(clock: Clock, files = new Map<string, Uint8Array>()) {
    this.#clock = clock
    this.files = files
  }

  async open(): Promise<void> {
    this.drafts = 0
  }

  async draft(): Promise<Draft> {
    const parts: Uint8Array[] = []
    let isOver = false
    const end = (): void => {
      if (!isOver) this.drafts -= 1
      isOver = true
    }
    this.drafts += 1
    return {
      append: async (bytes) => void parts.push(Uint8Array.from(bytes)),
      finish: async () => undefined,
      publish: async (name) => {
        this.files.set(name, new Uint8Array(Buffer.concat(parts)))
        this.#writtenAtMs.set(name, this.#clock.nowMs())
        end()
      },
      discard: async () => end(),
    }
  }

  async read(name: string): Promise<ContentFile | null> {
    const bytes = this.files.get(name)
    if (bytes === undefined) return null
    return {
      size: bytes.byteLength,
      readAt: async (buffer, position) => {
        const part = bytes.subarray(position, position + buffer.byteLength)
        buffer.set(part)
        this.bytesRead += part.byteLength
        return part.byteLength
      },
      close: async () => undefined,
    }
  }

  async names(): Promise<readonly string[]> {
    return [...this.files.keys()]
  }

  async writtenAtMs(name: string): Promise<number | null> {
    return this.files.has(name) ? (this.#writtenAtMs.get(name) ?? 0) : null
  }

  async remove(name: string): Promise<void> {
    this.files.delete(name)
  }

  async setAside(name: string): Promise<void> {
    const bytes = this.files.get(name)
    if (bytes === undefined) return
    this.files.delete(name)
    this.setAsideFiles.set(name, bytes)
  }

  async removeSetAside({ isDryRun }: { readonly isDryRun: boolean }): Promise<number> {
    const { size } = this.setAsideFiles
    if (!isDryRun) this.setAsideFiles.clear()
    return size
  }
}
