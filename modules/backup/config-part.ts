/** The configuration's share of a backup: the file of all profiles and the one of this profile. */
import { createHash } from 'node:crypto'
import { open, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isErrno, makeFolder } from '../../kernel/index.ts'
import { damagedArchive } from '../../protocols/backup/errors.ts'
import { MAX_ITEM_BYTES } from '../../protocols/backup/part.ts'
import type { BackupPart, PartExport } from '../../protocols/backup/part.ts'
import type { HomeService } from '../home/service.ts'

/** A configuration file is far smaller. */
const MAX_FILE_BYTES = MAX_ITEM_BYTES - 1

/** First byte of an item. */
const KINDS = ['shared', 'profile'] as const
type Kind = (typeof KINDS)[number]

export class ConfigBackupPart implements BackupPart {
  readonly name = 'config'
  readonly #paths: Readonly<Record<Kind, string>>

  constructor({ paths: { configFile, profile } }: Pick<HomeService, 'paths'>) {
    this.#paths = { shared: configFile, profile: join(dirname(configFile), 'profiles', `${profile}.toml`) }
  }

  /** Always everything: two small files. */
  async export(): Promise<PartExport> {
    const items = await this.#items()
    return {
      mark: 'none',
      isFull: true,
      items: each(items),
      root: async () => await Promise.resolve(rootOf(items)),
      [Symbol.asyncDispose]: async () => await Promise.resolve(),
    }
  }

  async restore(items: AsyncIterable<Uint8Array>, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    for await (const item of items) {
      signal.throwIfAborted()
      const kind = KINDS[(item[0] ?? 0) - 1]
      if (kind === undefined) throw damagedArchive('a configuration file is of an unknown kind')
      await writePrivate(this.#paths[kind], item.subarray(1))
    }
  }

  async root(): Promise<string> {
    return rootOf(await this.#items())
  }

  async #items(): Promise<readonly Uint8Array[]> {
    const items: Uint8Array[] = []
    for (const [index, kind] of KINDS.entries()) {
      const bytes = await contents(this.#paths[kind])
      if (bytes !== null) items.push(Uint8Array.of(index + 1, ...bytes))
    }
    return items
  }
}

function rootOf(items: readonly Uint8Array[]): string {
  const root = createHash('sha256')
  for (const item of items) root.update(createHash('sha256').update(item).digest())
  return root.digest('hex')
}

async function* each(items: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* items
  await Promise.resolve()
}

/** `null` when there is no such file. */
async function contents(path: string): Promise<Uint8Array | null> {
  try {
    const bytes = await readFile(path)
    if (bytes.byteLength > MAX_FILE_BYTES) throw new RangeError('the configuration file is too large for a backup')
    return bytes
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null
    throw error
  }
}

async function writePrivate(path: string, bytes: Uint8Array): Promise<void> {
  await makeFolder(dirname(path))
  const handle = await open(path, 'w', 0o600)
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
}
