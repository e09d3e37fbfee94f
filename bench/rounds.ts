/** Variants measured in turn, round by round, so that a change of the machine's speed meets all of them. */
import { startPair } from './processes.ts'
import type { Costed, Pair } from './processes.ts'
import type { VariantFailure } from './scenario.ts'
import { quantile, summaryOf } from './statistics.ts'
import type { Summary } from './statistics.ts'
import type { TransportName } from './transports/index.ts'
import type { Work } from './work.ts'

/** Uncounted, and fewer than those that count: what is measured are programs that have run for a while. */
const WARM_UP_ROUNDS = 3

export interface RoundsInit {
  readonly variants: readonly TransportName[]
  readonly work: Work
  /** Connections that do the work at the same time, each all of it. @default 1 */
  readonly clients?: number
  /** Measured rounds, after up to `WARM_UP_ROUNDS` more. At least 7 for a figure that is told to anybody. */
  readonly rounds: number
  readonly signal: AbortSignal
}

export interface VariantResult {
  readonly variant: TransportName
  /** Milliseconds a round. */
  readonly ms: Summary
  /** Of all round trips of all rounds, for `echo`; `null` for `send`. */
  readonly roundTripMs: { readonly p50: number; readonly p99: number } | null
  /** Of both processes, median of the rounds. */
  readonly cpuMs: number
  /** Resident memory of the larger process at its peak. */
  readonly peakMb: number
  /** By how much the resident memory of both processes grew in a round; meant for `hold`. */
  readonly grownMb: Summary
  /** For `stall`: the share of the undisturbed rate that was left, and the bytes taken for a reader that had stopped. */
  readonly stalled: { readonly share: Summary; readonly takenMb: Summary } | null
}

export interface RoundsResult {
  readonly results: readonly VariantResult[]
  /** Variants that did not do the work, or whose check found it wrong: they have no figure. */
  readonly failures: readonly VariantFailure[]
}

export async function measureRounds({ variants, work, clients, rounds, signal }: RoundsInit): Promise<RoundsResult> {
  const pairs: Pair[] = []
  try {
    for (const name of variants) pairs.push(await startPair(name, clients))
    const times = pairs.map((): number[] => [])
    const roundTrips = pairs.map((): number[] => [])
    const cpuTimes = pairs.map((): number[] => [])
    const peaks = pairs.map(() => 0)
    const growths = pairs.map((): number[] => [])
    const stalls = pairs.map((): NonNullable<Costed['stalled']>[] => [])
    const shares = pairs.map((): number[] => [])
    const failed = new Map<number, string>()
    const warmUps = Math.min(WARM_UP_ROUNDS, rounds - 1)
    for (let round = -warmUps; round < rounds; round++) {
      // Another one goes first each time: whoever follows a heavy one may find a warm or a tired machine.
      for (let turn = 0; turn < pairs.length; turn++) {
        signal.throwIfAborted()
        const index = (turn + round + warmUps) % pairs.length
        if (failed.has(index)) continue
        const measured = await runOrFail(pairs[index], work)
        if (typeof measured === 'string') failed.set(index, measured)
        if (typeof measured === 'string' || round < 0) continue
        times[index]?.push(measured.ms)
        cpuTimes[index]?.push(measured.cpuMs)
        peaks[index] = measured.peakMb
        growths[index]?.push(measured.grownMb)
        if (measured.stalled !== undefined) {
          stalls[index]?.push(measured.stalled)
          shares[index]?.push(measured.stalled.undisturbedMs / measured.ms)
        }
        roundTrips[index]?.push(...measured.roundTripsMs)
      }
    }
    const failures = [...failed].map(([i, why]) => ({ variant: variants[i] ?? 'nzcore', why }))
    const resultOf = ({ name }: Pair, i: number): VariantResult => ({
      variant: name,
      ms: summaryOf(times[i] ?? []),
      roundTripMs:
        work.kind === 'echo'
          ? { p50: quantile(roundTrips[i] ?? [], 0.5), p99: quantile(roundTrips[i] ?? [], 0.99) }
          : null,
      cpuMs: summaryOf(cpuTimes[i] ?? []).median,
      peakMb: peaks[i] ?? 0,
      grownMb: summaryOf(growths[i] ?? []),
      stalled:
        work.kind === 'stall'
          ? {
              share: summaryOf(shares[i] ?? []),
              takenMb: summaryOf((stalls[i] ?? []).map(({ takenBytes }) => takenBytes / 1_000_000)),
            }
          : null,
    })
    return { results: pairs.flatMap((pair, i) => (failed.has(i) ? [] : [resultOf(pair, i)])), failures }
  } finally {
    for (const pair of pairs) await pair[Symbol.asyncDispose]()
  }
}

/** What was measured, or in words why nothing was. */
async function runOrFail(pair: Pair | undefined, work: Work): Promise<Costed | string> {
  try {
    return (await pair?.run(work)) ?? 'it did not start'
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
