/** An append-only file that is set aside when it is full; only so many of them are kept. */
import { closeSync, fchmodSync, fstatSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { isErrno } from '../../kernel/index.ts'

export interface RotatingFileInit {
  readonly dir: string
  /** The file that is written; older ones are `<name>.1`, `<name>.2`, … */
  readonly name: string
  readonly maxFileBytes: number
  /** Counts the one that is written. */
  readonly maxFiles: number
}

/**
 * Writes are synchronous, so that the last line before a crash is on its way to the disk. A disk that is full or gone
 * loses lines, which are counted; the file is opened anew for the next line.
 */
export class RotatingFile {
  readonly #init: RotatingFileInit
  #fd: number | null = null
  #size = 0
  #unwritten = 0

  constructor(init: RotatingFileInit) {
    this.#init = init
  }

  get unwritten(): number {
    return this.#unwritten
  }

  /** Never throws. */
  write(line: string): void {
    try {
      const bytes = Buffer.from(line)
      if (this.#fd !== null && this.#size + bytes.byteLength > this.#init.maxFileBytes) this.#rotate()
      const fd = (this.#fd ??= this.#open())
      writeSync(fd, bytes)
      this.#size += bytes.byteLength
    } catch {
      // The log cannot tell of its own failure; `unwritten` does, through the module's health.
      this.#unwritten += 1
      this.close()
    }
  }

  /** A later write opens it again. */
  close(): void {
    const fd = this.#fd
    this.#fd = null
    if (fd === null) return
    try {
      closeSync(fd)
    } catch {
      this.#unwritten += 1
    }
  }

  #open(): number {
    mkdirSync(this.#init.dir, { recursive: true, mode: 0o700 })
    const fd = openSync(this.#path(0), 'a', 0o600)
    if (process.platform !== 'win32') fchmodSync(fd, 0o600)
    this.#size = fstatSync(fd).size
    return fd
  }

  #rotate(): void {
    this.close()
    const { maxFiles } = this.#init
    rmSync(this.#path(maxFiles - 1), { force: true })
    for (let age = maxFiles - 2; age >= 0; age -= 1) {
      try {
        renameSync(this.#path(age), this.#path(age + 1))
      } catch (error) {
        if (!isErrno(error, 'ENOENT')) throw error
      }
    }
  }

  #path(age: number): string {
    const { dir, name } = this.#init
    return join(dir, age === 0 ? name : `${name}.${age}`)
  }
}
