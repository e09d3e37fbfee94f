/** Variants measured in turn, round by round, so that a change of the machine's speed meets all of them. */
import { startPair } from './processes.ts'
import type { Pair } from './processes.ts'
import { quantile, summaryOf } from './statistics.ts'
import type { Summary } from './statistics.ts'
import type { TransportName } from './transports/index.ts'
import type { Work } from './work.ts'

export interface RoundsInit {
  readonly variants: readonly TransportName[]
  readonly work: Work
  /** Measured rounds; one more goes before them uncounted. At least 7 for a figure that is told to anybody. */
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
}

export async function measureRounds({ variants, work, rounds, signal }: RoundsInit): Promise<readonly VariantResult[]> {
  const pairs: Pair[] = []
  try {
    for (const name of variants) pairs.push(await startPair(name))
    const times = pairs.map((): number[] => [])
    const roundTrips = pairs.map((): number[] => [])
    const cpuTimes = pairs.map((): number[] => [])
    const peaks = pairs.map(() => 0)
    for (let round = -1; round < rounds; round++) {
      // Another one goes first each time: whoever follows a heavy one may find a warm or a tired machine.
      for (let turn = 0; turn < pairs.length; turn++) {
        signal.throwIfAborted()
        const index = (turn + round + 1) % pairs.length
        const measured = await pairs[index]?.run(work)
        if (measured === undefined || round < 0) continue
        times[index]?.push(measured.ms)
        cpuTimes[index]?.push(measured.cpuMs)
        peaks[index] = measured.peakMb
        roundTrips[index]?.push(...measured.roundTripsMs)
      }
    }
    return pairs.map(({ name }, i) => ({
      variant: name,
      ms: summaryOf(times[i] ?? []),
      roundTripMs:
        work.kind === 'echo'
          ? { p50: quantile(roundTrips[i] ?? [], 0.5), p99: quantile(roundTrips[i] ?? [], 0.99) }
          : null,
      cpuMs: summaryOf(cpuTimes[i] ?? []).median,
      peakMb: peaks[i] ?? 0,
    }))
  } finally {
    for (const pair of pairs) await pair[Symbol.asyncDispose]()
  }
}
