/** What a connection weighs on which nothing happens, at each of its ends. */
import { measureRounds } from './rounds.ts'
import { FULL_ROUNDS, SMALL_ROUNDS, withRatios } from './scenario.ts'
import type { Scenario } from './scenario.ts'

/** Connections that each round adds to those of the rounds before. */
const CONNECTIONS = { small: 20, full: 100 } as const

export const idle: Scenario = {
  name: 'idle-memory',
  async run({ size, isCompared, signal }) {
    const count = CONNECTIONS[size]
    const rounds = size === 'full' ? FULL_ROUNDS : SMALL_ROUNDS
    const { results, failures } = await measureRounds({
      variants: isCompared
        ? ['native-streams', 'typescript-streams', 'libp2p', 'tcp', 'tls', 'tls-mutual']
        : ['native-streams'],
      work: { kind: 'hold', count, size: 4 },
      rounds,
      signal,
    })
    // A collection may give back more than a few connections took.
    const perEnd = (grownMb: number): number => Math.max(0, (grownMb * 1_000) / count / 2)
    return {
      scenario: 'idle-memory',
      title: `resident memory of an idle connection at one end, ${count} more a round`,
      rounds,
      failures,
      figures: withRatios(
        results.map(({ variant, grownMb: { median, min, max } }) => ({
          name: variant,
          median: perEnd(median),
          min: perEnd(min),
          max: perEnd(max),
          unit: 'KB' as const,
        })),
      ),
    }
  },
}
