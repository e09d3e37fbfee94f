/** A home that a node has used: records in files of every kind that LevelDB has, restarts, kills, a change of keys. */
import assert from 'node:assert/strict'
import { appendFile, copyFile, cp, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { ApiWriters, clientOf } from './api-writers.ts'
import { NodeProcess } from './node-process.ts'
import type { Random } from '../../kernel/index.ts'

const RUNS = 4
const STEPS_PER_RUN = 120
const API_STEPS_PER_RUN = 40
const KINDS = ['flip', 'flip', 'flip', 'zero', 'cut', 'cut', 'append', 'remove', 'exchange', 'older', 'older'] as const
/** Made anew by every start. */
const PASSED_OVER = /(?:^|\/)(?:LOCK|lock|[^/]+\.sock)$/

export class UsedHome {
  /** Where the node runs; a keystore names its place. */
  readonly home: string
  readonly api: ApiWriters
  /** Steps of the lean node's writers. */
  readonly done: readonly number[]
  readonly #used: string
  readonly #older: string
  readonly #files: readonly string[]
  readonly #olderFiles: readonly string[]
  readonly touched = new Set<string>()

  private constructor(
    folder: string,
    { api, done }: Pick<UsedHome, 'api' | 'done'>,
    [files, olderFiles]: readonly string[][],
  ) {
    this.home = join(folder, 'h')
    this.#used = join(folder, 'used')
    this.#older = join(folder, 'older')
    this.api = api
    this.done = done
    this.#files = files ?? []
    this.#olderFiles = olderFiles ?? []
  }

  get fileCount(): number {
    return this.#files.length
  }

  static async make(folder: string, seed: number): Promise<UsedHome> {
    const home = join(folder, 'h')
    await mkdir(folder)
    const api = new ApiWriters({ seed, writers: 2 })
    let done = [0, 0, 0]
    for (let run = 0; run < RUNS; run++) {
      const options = { seed, done, rotateEvery: run === 1 ? 100 : 0, stepLimit: STEPS_PER_RUN }
      const node = NodeProcess.lean(options, { home })
      await node.line(/^done$/)
      await node.stop()
      done = done.map((steps) => steps + STEPS_PER_RUN)
      const daemon = NodeProcess.daemon([], { home })
      assert.match(await daemon.line(/./), /"state":"ready"/)
      await api.write(clientOf(home), { stepLimit: API_STEPS_PER_RUN })
      await (run === 2 ? daemon.kill() : daemon.stop())
      await copyHome(home, join(folder, run === 1 ? 'older' : 'used'))
    }
    const files = await filesOf(join(folder, 'used'))
    return new UsedHome(folder, { api, done }, [files, await filesOf(join(folder, 'older'))])
  }

  /** Puts the home back as it was used. */
  async renew(): Promise<void> {
    await copyHome(this.#used, this.home)
  }

  /** One change of one file of the home, or of two that are exchanged; where and how. */
  async damage(random: Random): Promise<string> {
    const below = (n: number): number => Math.floor(random.unit() * n)
    const name = this.#files[below(this.#files.length)] ?? ''
    const kind = KINDS[below(KINDS.length)] ?? 'flip'
    this.touched.add(name)
    const path = join(this.home, name)
    const bytes = await readFile(path)
    const at = below(bytes.length)
    if (kind === 'flip') bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8))
    if (kind === 'zero') bytes.fill(0, at, Math.min(bytes.length, at + 512))
    if (kind === 'flip' || kind === 'zero') await writeFile(path, bytes)
    if (kind === 'cut') await truncate(path, at)
    if (kind === 'append') await appendFile(path, random.bytes(1 + below(600)))
    if (kind === 'remove') await rm(path)
    if (kind === 'older' && this.#olderFiles.includes(name)) await copyFile(join(this.#older, name), path)
    if (kind !== 'exchange') return `${kind} ${name} at ${at} of ${bytes.length}`
    const like = this.#files.filter((other) => other !== name && extname(other) === extname(name))
    const other = like[below(like.length)] ?? this.#files[below(this.#files.length)] ?? ''
    await copyFile(join(this.home, other), path)
    await writeFile(join(this.home, other), bytes)
    return `${kind} ${name} and ${other}`
  }
}

async function copyHome(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true })
  await cp(from, to, { recursive: true, filter: (path) => !path.endsWith('.sock') })
}

async function filesOf(dir: string): Promise<string[]> {
  const found = await readdir(dir, { recursive: true, withFileTypes: true })
  return found
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(dir.length + 1))
    .filter((name) => !PASSED_OVER.test(name))
    .toSorted()
}
