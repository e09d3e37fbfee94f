/** The configuration file: read with the line of a mistake, replaced whole. */
import { randomBytes } from 'node:crypto'
import { open, readFile, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { parse, TomlError } from 'smol-toml'
import { isErrno, makeFolder, syncFolder } from '../../kernel/index.ts'
import { configErrors } from './service.ts'

export const MAX_CONFIG_FILE_BYTES = 1_048_576

/** The text of the file; empty when there is none. @throws NZ_CONFIG_UNREADABLE */
export async function readConfigText(path: string): Promise<string> {
  try {
    const { size } = await stat(path)
    if (size > MAX_CONFIG_FILE_BYTES) {
      throw configErrors.NZ_CONFIG_UNREADABLE({
        why: `it is larger than ${MAX_CONFIG_FILE_BYTES} bytes`,
        data: { path, size },
      })
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path))
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return ''
    if (error instanceof Error && (isSystemError(error) || error instanceof TypeError)) {
      throw configErrors.NZ_CONFIG_UNREADABLE({ why: error.message, cause: error, data: { path } })
    }
    throw error
  }
}

/** @throws NZ_CONFIG_SYNTAX that names line and column; never quotes the line, which may hold a secret */
export function parseConfig(text: string, path: string): Record<string, unknown> {
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const { line, column } = error
    const [what = ''] = error.message.split('\n')
    throw configErrors.NZ_CONFIG_SYNTAX({
      why: `line ${line}, column ${column}: ${what.replace(/^Invalid TOML document: /, '')}`,
      data: { path, line, column },
    })
  }
}

/** Replaces the file whole (0600, durable). @throws NZ_CONFIG_UNWRITABLE */
export async function writeConfigText(path: string, text: string): Promise<void> {
  const aside = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`)
  try {
    await makeFolder(dirname(path))
    const handle = await open(aside, 'wx', 0o600)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(aside, path)
    await syncFolder(dirname(path))
  } catch (error) {
    await rm(aside, { force: true })
    throw configErrors.NZ_CONFIG_UNWRITABLE({ cause: error, data: { path } })
  }
}

/** What the file system said, whatever it was. */
function isSystemError(error: Error): boolean {
  return 'syscall' in error && 'code' in error
}
