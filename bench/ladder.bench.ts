/** What arrives over bad cables: a stream of ours beside TCP of the kernel, through the same impairment box, in turn. */
import { fork, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { summaryOf } from './statistics.ts'
import type { Figure, Scenario } from './scenario.ts'

const RUNGS = {
  small: ['1/20'],
  full: [0, 1, 5, 10, 25].flatMap((loss) => [0, 100, 300, 600].map((delayMs) => `${loss}/${delayMs}`)),
} as const
/** A rung takes several round trips of its cable, twice, and a connection that is made anew. */
const ROUNDS = { small: 1, full: 3 } as const

// The sources' folder also when the built program runs.
const here = resolve(import.meta.dirname)
const root = basename(resolve(here, '..')) === 'dist' ? resolve(here, '../..') : resolve(here, '..')
const PROGRAM = join(root, 'test', 'net', 'ladder-run.ts')

interface Measured {
  readonly rung: string
  readonly way: 'nzcore' | 'tcp'
  readonly bytesPerSecond: number
}

export const ladder: Scenario = {
  name: 'ladder',
  limitMs: 2_400_000,
  whyNot() {
    if (!existsSync(PROGRAM)) return 'the test network is not part of the package'
    const asked = `import { whyNoLab } from ${JSON.stringify(join(root, 'test', 'net', 'system.ts'))}; process.stdout.write(whyNoLab() ?? '')`
    const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', asked], { encoding: 'utf8' })
    return status === 0 && stdout === '' ? null : `no test network: ${stdout}`
  },
  async run({ size, signal }) {
    const rungs = RUNGS[size]
    const rounds = ROUNDS[size]
    const measured = await measure([String(rounds), ...rungs], signal)
    return {
      scenario: 'ladder',
      title:
        'bytes that arrive through the impairment box, on an open connection: frames lost in bursts of 3, delay each way; TCP of the kernel beside nzcore',
      rounds,
      figures: rungs.flatMap((rung) => figuresOf(rung, measured)),
    }
  },
}

function figuresOf(rung: string, measured: readonly Measured[]): readonly Figure[] {
  const [loss = '', delay = ''] = rung.split('/')
  const of = (way: Measured['way']): Omit<Figure, 'ratio'> => {
    const all = measured.filter((each) => each.rung === rung && each.way === way)
    const name = `${way}, ${loss} % lost, ${delay} ms`
    return { name, ...summaryOf(all.map(({ bytesPerSecond }) => bytesPerSecond / 1_000)), unit: 'KB/s' }
  }
  const [nzcore, tcp] = [of('nzcore'), of('tcp')]
  return [
    { ...nzcore, ratio: null },
    { ...tcp, ratio: nzcore.median === 0 ? null : tcp.median / nzcore.median },
  ]
}

async function measure(args: readonly string[], signal: AbortSignal): Promise<readonly Measured[]> {
  const child = fork(PROGRAM, [...args], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'], signal })
  let printed = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => void (printed += text))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`the ladder ended with ${String(code)}`)
  return printed
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Measured)
}
