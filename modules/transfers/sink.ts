/** Where a receiver's bytes go: a file that keeps what it has, or a program that takes them once. */
import { createHash } from 'node:crypto'
import { transfersErrors } from './service.ts'
import { PartFile } from './part-file.ts'
import type { ByteConsumer } from './service.ts'

export interface ReceiveSink {
  /** Bytes gathered before a flush is worth its cost; less is flushed after a short wait. */
  readonly batchBytes: number
  readonly pendingBytes: number
  /** What is held already, and its SHA-256. */
  open(): Promise<{ readonly offset: number; readonly sha256: Uint8Array }>
  /** Forgets what is held beyond `offset`. @throws NZ_TRANSFERS_CANNOT_RESUME */
  cut(offset: number): Promise<void>
  /** Takes the next bytes, which are another's once it returns. */
  push(bytes: Uint8Array): void
  /** Makes what was pushed safe; gives the offset before which everything is. One call at a time. */
  flush(): Promise<number>
  /** Of everything pushed. */
  sha256(): Uint8Array
  /** The stream ended; what is held waits for the next one. */
  pause(): Promise<void>
}

export class FileSink implements ReceiveSink {
  readonly batchBytes = 1_048_576
  readonly file: PartFile

  constructor(path: string) {
    this.file = new PartFile(path)
  }

  get pendingBytes(): number {
    return this.file.pendingBytes
  }

  async open(): Promise<{ offset: number; sha256: Uint8Array }> {
    await this.file.open()
    return { offset: this.file.offset, sha256: this.file.sha256() }
  }

  async cut(offset: number): Promise<void> {
    await this.file.cut(offset)
  }

  push(bytes: Uint8Array): void {
    this.file.push(bytes)
  }

  async flush(): Promise<number> {
    return await this.file.flush()
  }

  sha256(): Uint8Array {
    return this.file.sha256()
  }

  async pause(): Promise<void> {
    if (this.pendingBytes > 0) await this.file.flush()
    await this.file.close()
  }
}

export class ConsumerSink implements ReceiveSink {
  readonly batchBytes = 1
  readonly #consumer: ByteConsumer
  readonly #hash = createHash('sha256')
  #offset = 0
  #taken = 0
  #pending: Uint8Array[] = []
  #pendingBytes = 0

  constructor(consumer: ByteConsumer) {
    this.#consumer = consumer
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  async open(): Promise<{ offset: number; sha256: Uint8Array }> {
    return { offset: this.#offset, sha256: this.sha256() }
  }

  async cut(offset: number): Promise<void> {
    if (offset !== this.#offset) throw transfersErrors.NZ_TRANSFERS_CANNOT_RESUME()
  }

  push(bytes: Uint8Array): void {
    this.#hash.update(bytes)
    this.#offset += bytes.byteLength
    this.#pending.push(bytes.slice())
    this.#pendingBytes += bytes.byteLength
  }

  async flush(): Promise<number> {
    const batch = this.#pending
    const bytes = this.#pendingBytes
    this.#pending = []
    this.#pendingBytes = 0
    try {
      if (bytes > 0) await this.#consumer.take(batch)
    } catch (cause) {
      throw transfersErrors.NZ_TRANSFERS_CONSUMER_GONE({ cause })
    }
    this.#taken += bytes
    return this.#taken
  }

  sha256(): Uint8Array {
    return new Uint8Array(this.#hash.copy().digest())
  }

  /** What was received goes to the consumer also while no stream is open. */
  async pause(): Promise<void> {
    await this.flush()
  }
}
