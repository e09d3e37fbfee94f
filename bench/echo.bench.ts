/** 64 bytes there and back, one after the other: what a request waits for on one machine. */
import { measureRounds } from './rounds.ts'
import { FULL_ROUNDS, SMALL_ROUNDS, withRatios } from './scenario.ts'
import type { Scenario } from './scenario.ts'

export const echo: Scenario = {
  name: 'echo',
  async run({ size, isCompared, signal }) {
    const count = size === 'full' ? 1_000 : 50
    const rounds = size === 'full' ? FULL_ROUNDS : SMALL_ROUNDS
    const { results, failures } = await measureRounds({
      variants: isCompared
        ? ['nzcore', 'nzcore-typescript', 'native-streams', 'typescript-streams', 'libp2p', 'tcp', 'tls']
        : ['nzcore'],
      work: { kind: 'echo', count, size: 64 },
      rounds,
      signal,
    })
    const figures = results.map(({ variant, ms, roundTripMs, cpuMs, peakMb }) => ({
      name: variant,
      median: (roundTripMs?.p50 ?? 0) * 1_000,
      min: (ms.min / count) * 1_000,
      max: (roundTripMs?.p99 ?? 0) * 1_000,
      unit: 'µs' as const,
      cost: { cpuMs, peakMb },
    }))
    return {
      scenario: 'echo',
      title: '64 bytes there and back (median of all; lowest mean of a round, 99th percentile of all)',
      rounds,
      failures,
      figures: withRatios(figures),
    }
  },
}
