/** A hundred honest connections and one hostile peer: the share of their rate that they keep, by attack. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { extname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ATTACKS } from './attacks.ts'
import { endProcesses, startPair } from './processes.ts'
import { summaryOf } from './statistics.ts'
import type { AttackOrder, AttackReply } from './attacker-process.ts'
import type { Attack } from './attacks.ts'
import type { Costed, Pair } from './processes.ts'
import type { Figure, Scenario, VariantFailure } from './scenario.ts'
import type { TransportName } from './transports/index.ts'
import type { Work } from './work.ts'

/** Many short rounds: what else the machine does meets both halves of most of them alike, and the median is of those. */
const SIZES = {
  small: { clients: 4, rounds: 1, work: { kind: 'send', count: 40, size: 4_096 } },
  full: { clients: 100, rounds: 15, work: { kind: 'send', count: 64, size: 4_096 } },
} as const satisfies Record<string, { clients: number; rounds: number; work: Work }>
/** Quiet: a minute and a half for each of ours, and six for stock libp2p. */
const LIMIT_MS = 2_400_000
/** 100 Mbit/s: what a peer far away can have. One on this machine would need a processor for more. */
const LINE_BYTES_PER_SECOND = 12_500_000
/** So that what an attack begins with is over. */
const LEAD_MS = 100
/** As often as alone. */
const UNDER_ATTACK = 2
const REPLY_TIMEOUT_MS = 60_000

interface Attacked {
  readonly shares: number[]
  /** Of a core. */
  readonly attackerCpu: number[]
  /** Of a core: what both honest processes use more than without. */
  readonly ownCpu: number[]
  /** Of both honest processes, for the work once, under attack. */
  readonly cpuMs: number[]
  peakMb: number
}

export const attack: Scenario = {
  name: 'attack',
  limitMs: LIMIT_MS,
  async run({ size, isCompared, signal }) {
    const { clients, rounds, work } = SIZES[size]
    const variants: readonly TransportName[] =
      isCompared && size === 'full' ? ['native-streams', 'typescript-streams', 'libp2p'] : ['native-streams']
    const failures: VariantFailure[] = []
    const figures: Figure[] = []
    for (const variant of variants) {
      const measured = await measure({ variant, clients, rounds, work, signal, failures })
      const ours = [...measured].map(([what, { shares, attackerCpu, ownCpu, cpuMs, peakMb }]): Figure => {
        const percent = (values: readonly number[]): string => `${Math.round(summaryOf(values).median * 100)} %`
        return {
          name: `${variant}, ${what} (${percent(attackerCpu)}, ${percent(ownCpu)})`,
          ...summaryOf(shares),
          unit: 'of its rate',
          ratio: null,
          cost: { cpuMs: summaryOf(cpuMs).median, peakMb },
        }
      })
      const least = ours.toSorted((a, b) => a.median - b.median)[0]
      if (least !== undefined) figures.push({ ...least, name: variant }, ...ours)
    }
    return {
      scenario: 'attack',
      title:
        `${clients} connections that send ${work.count} messages of ${work.size} bytes each, beside one hostile peer on a line of ` +
        `${LINE_BYTES_PER_SECOND / 125_000} Mbit/s: the share of their rate without it, the least first; in brackets what the attacker uses of a core, and what the others use more`,
      rounds,
      failures,
      figures,
    }
  },
}

interface MeasureInit {
  readonly variant: TransportName
  readonly clients: number
  readonly rounds: number
  readonly work: Work
  readonly signal: AbortSignal
  readonly failures: VariantFailure[]
}

/** With and without the attacker by turns. */
async function measure(init: MeasureInit): Promise<ReadonlyMap<Attack, Attacked>> {
  const { variant, clients, rounds, work, signal, failures } = init
  const measured = new Map<Attack, Attacked>()
  const attacker = startAttacker()
  try {
    await using pair = await startPair(variant, clients)
    for (let i = 0; i < 3; i++) await pair.run(work)
    for (const what of ATTACKS) {
      const attacked: Attacked = { shares: [], attackerCpu: [], ownCpu: [], cpuMs: [], peakMb: 0 }
      try {
        for (let round = 0; round < rounds; round++) {
          signal.throwIfAborted()
          await runBoth(pair, attacker, what, work, attacked)
        }
        measured.set(what, attacked)
      } catch (error) {
        signal.throwIfAborted()
        failures.push({ variant: `${variant}, ${what}`, why: error instanceof Error ? error.message : String(error) })
        // The one or the other may have ended.
        break
      }
    }
    return measured
  } finally {
    await endProcesses([attacker])
  }
}

/** The work alone, twice under attack and alone: a machine that gets slower or faster by and by counts for neither. */
async function runBoth(
  pair: Pair,
  attacker: ChildProcess,
  what: Attack,
  work: Work,
  attacked: Attacked,
): Promise<void> {
  const without: Costed[] = []
  const beside: Costed[] = []
  const alone = async (): Promise<unknown> => without.push(await pair.run(work))
  const under = async (): Promise<void> => {
    await tell(attacker, { attack: what, address: pair.address, bytesPerSecond: LINE_BYTES_PER_SECOND })
    await sleep(LEAD_MS)
    for (let i = 0; i < UNDER_ATTACK; i++) beside.push(await pair.run(work))
    const done = await tell(attacker, 'stop')
    if (done.state !== 'stopped') throw new Error('the attacker does not stop')
    if (done.connections === 0) throw new Error('the attack did not take place')
    attacked.attackerCpu.push(done.cpuMs / done.ms)
  }
  await alone()
  await under()
  await alone()
  const sum = (costed: readonly Costed[], key: 'ms' | 'cpuMs'): number => costed.reduce((all, one) => all + one[key], 0)
  const besideMs = sum(beside, 'ms')
  attacked.shares.push(sum(without, 'ms') / besideMs)
  attacked.ownCpu.push((sum(beside, 'cpuMs') - sum(without, 'cpuMs')) / besideMs)
  attacked.cpuMs.push(sum(beside, 'cpuMs') / beside.length)
  attacked.peakMb = Math.max(attacked.peakMb, ...beside.map(({ peakMb }) => peakMb))
}

function startAttacker(): ChildProcess {
  return fork(join(import.meta.dirname, `attacker-process${extname(import.meta.filename)}`), [], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
}

async function tell(child: ChildProcess, order: AttackOrder): Promise<AttackReply> {
  const signal = AbortSignal.timeout(REPLY_TIMEOUT_MS)
  const said = once(child, 'message', { signal }) as Promise<[AttackReply]>
  child.send(order)
  const [reply] = await said
  if (reply.state === 'failed') throw new Error(`the attacker has no connection: ${reply.why}`)
  return reply
}
