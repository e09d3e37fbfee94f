/** Small durable files: written aside, fsynced, renamed over, directory fsynced. */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { isErrno, isNzError, syncFolder, Turns } from '../../kernel/index.ts'
import { homeErrors } from './service.ts'

/** The largest state file; larger data belongs into the store. */
export const MAX_STATE_FILE_BYTES = 8_388_608

const GROUP_AND_OTHERS = 0o077

export class StateFiles {
  readonly #dir: string
  /** One for each name: a profile has a handful. */
  readonly #turns = new Map<string, Turns>()

  constructor(dir: string) {
    this.#dir = dir
  }

  async read(name: string): Promise<Uint8Array | null> {
    const path = this.#pathOf(name)
    let handle
    try {
      handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return null
      throw homeErrors.NZ_HOME_UNREADABLE({ cause: error, data: { path } })
    }
    try {
      const { mode, size } = await handle.stat()
      if (process.platform !== 'win32' && (mode & GROUP_AND_OTHERS) !== 0) {
        throw homeErrors.NZ_HOME_MODE({ data: { path, mode: `0${(mode & 0o777).toString(8)}` } })
      }
      if (size > MAX_STATE_FILE_BYTES) throw homeErrors.NZ_HOME_TOO_LARGE({ data: { path, size } })
      return new Uint8Array(await handle.readFile())
    } catch (error) {
      throw isNzError(error) ? error : homeErrors.NZ_HOME_UNREADABLE({ cause: error, data: { path } })
    } finally {
      await handle.close()
    }
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    const path = this.#pathOf(name)
    if (bytes.byteLength > MAX_STATE_FILE_BYTES) {
      throw homeErrors.NZ_HOME_TOO_LARGE({ data: { path, size: bytes.byteLength } })
    }
    await this.#inTurn(name, async () => {
      await this.#replace(path, bytes)
    })
  }

  async remove(name: string): Promise<void> {
    const path = this.#pathOf(name)
    await this.#inTurn(name, async () => {
      try {
        await rm(path, { force: true })
        await syncFolder(this.#dir)
      } catch (error) {
        throw homeErrors.NZ_HOME_UNWRITABLE({ cause: error, data: { path } })
      }
    })
  }

  async #replace(path: string, bytes: Uint8Array): Promise<void> {
    const aside = join(this.#dir, `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`)
    try {
      const handle = await open(aside, 'wx', 0o600)
      try {
        await handle.writeFile(bytes)
        await handle.sync()
      } finally {
        await handle.close()
      }
      await rename(aside, path)
      await syncFolder(this.#dir)
    } catch (error) {
      // What made the write fail may make this fail too; the first cause is the one to tell.
      await rm(aside, { force: true }).catch(() => undefined)
      throw homeErrors.NZ_HOME_UNWRITABLE({ cause: error, data: { path } })
    }
  }

  /** Runs `work` after every earlier call for the same name, whatever became of those. */
  async #inTurn(name: string, work: () => Promise<void>): Promise<void> {
    const turns = this.#turns.get(name) ?? new Turns()
    this.#turns.set(name, turns)
    await turns.take(work)
  }

  #pathOf(name: string): string {
    // `lock` is the profile's lock.
    if (!/^(?!lock)[a-z0-9][a-z0-9._-]{0,63}$/.test(name)) throw new TypeError(`not a state file name: ${name}`)
    return join(this.#dir, name)
  }
}
