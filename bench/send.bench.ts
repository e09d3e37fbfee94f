/** `nzcore send` of one file between two daemons, for each stack: what a person waits for, the start of the command too. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { nzcore } from './daemon.bench.ts'
import { measureInTurn } from './interleaved.ts'
import { SMALL_ROUNDS, withRatios } from './scenario.ts'
import type { Scenario } from './scenario.ts'

const MIB = 1_048_576
const FILE_MIB = { small: 4, full: 1_024 } as const
/** Each sends a gigabyte for every stack. */
const ROUNDS = 7
/** Values of `network.native`. */
const STACKS = ['auto', 'off', 'stock'] as const
type Stack = (typeof STACKS)[number]

export const send: Scenario = {
  name: 'send',
  async run({ size, isCompared, signal }) {
    const base = await mkdtemp(join(tmpdir(), 'nzb-'))
    const pairs: Pair[] = []
    try {
      const fileMib = FILE_MIB[size]
      const rounds = size === 'full' ? ROUNDS : SMALL_ROUNDS
      const path = join(base, 'file')
      for (let i = 0; i < fileMib; i++) await writeFile(path, randomBytes(MIB), { flag: 'a' })
      for (const stack of isCompared ? STACKS : STACKS.slice(0, 1)) {
        const pair = new Pair(join(base, stack), stack)
        pairs.push(pair)
        await pair.start()
      }
      const results = await measureInTurn(
        pairs.map((pair) => ({ name: pair.name, run: async (round) => await pair.send(path, `file ${round}`) })),
        { rounds, signal },
      )
      const rateOf = (ms: number): number => (fileMib * MIB) / 1_000_000 / (ms / 1_000)
      const figures = results.map(({ name, ms }) => ({
        name,
        median: rateOf(ms.median),
        min: rateOf(ms.max),
        max: rateOf(ms.min),
        unit: 'MB/s' as const,
      }))
      return {
        scenario: 'send',
        title: `nzcore send of ${fileMib} MiB between two daemons on one disk`,
        rounds,
        figures: withRatios(figures),
      }
    } finally {
      for (const pair of pairs) await pair.stop()
      await rm(base, { recursive: true, force: true })
    }
  },
}

/** Two daemons of one stack that know each other. */
class Pair {
  readonly name: string
  readonly #folder: string
  readonly #native: Stack
  readonly #running: string[] = []

  constructor(folder: string, native: Stack) {
    this.name = native === 'auto' ? 'nzcore' : `nzcore, ${native}`
    this.#folder = folder
    this.#native = native
  }

  async start(): Promise<void> {
    const listen = '["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"]'
    await mkdir(this.#at('inbox'), { recursive: true })
    for (const home of [this.#at('receiver'), this.#at('sender')]) {
      await mkdir(home, { mode: 0o700 })
      await writeFile(join(home, 'config.toml'), `[network]\nnative = "${this.#native}"\nlisten = ${listen}\n`)
      await nzcore(home, 'up')
      this.#running.push(home)
    }
    const [ticket = ''] = (await nzcore(this.#at('receiver'), 'invite', '--yes', '--no-wait')).split('\n')
    await nzcore(this.#at('sender'), 'join', ticket, '--yes', '--as', 'receiver')
    await nzcore(this.#at('receiver'), 'receive', '--to', this.#at('inbox'), '--detach')
  }

  /** @throws Error when the file was not delivered */
  async send(path: string, name: string): Promise<void> {
    await nzcore(this.#at('sender'), 'send', 'receiver', name, path)
    for (const entry of await readdir(this.#at('inbox'))) await rm(join(this.#at('inbox'), entry))
  }

  async stop(): Promise<void> {
    for (const home of this.#running) await nzcore(home, 'down')
  }

  #at(name: string): string {
    return join(this.#folder, name)
  }
}
