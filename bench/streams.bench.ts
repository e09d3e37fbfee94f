/** Streams opened on one connection, 64 bytes there and back on each: how many a second. */
import { measureRounds } from './rounds.ts'
import { FULL_ROUNDS, ratesOf, SMALL_ROUNDS } from './scenario.ts'
import type { Scenario } from './scenario.ts'

export const streams: Scenario = {
  name: 'streams',
  async run({ size, isCompared, signal }) {
    const count = size === 'full' ? 500 : 40
    const rounds = size === 'full' ? FULL_ROUNDS : SMALL_ROUNDS
    const { results, failures } = await measureRounds({
      variants: isCompared ? ['nzcore', 'native-streams', 'typescript-streams', 'libp2p'] : ['nzcore'],
      work: { kind: 'streams', count, size: 64 },
      rounds,
      signal,
    })
    return {
      scenario: 'streams',
      title: `${count} streams on one connection, 32 at a time, 64 bytes there and back on each`,
      rounds,
      failures,
      figures: ratesOf(results, count, 'streams/s'),
    }
  },
}
