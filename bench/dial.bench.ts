/** Connections, one after the other, secured and ready for streams: how many a second. */
import { measureRounds } from './rounds.ts'
import { FULL_ROUNDS, ratesOf, SMALL_ROUNDS } from './scenario.ts'
import type { Scenario } from './scenario.ts'

export const dial: Scenario = {
  name: 'dial',
  async run({ size, isCompared, signal }) {
    const count = size === 'full' ? 100 : 5
    const rounds = size === 'full' ? FULL_ROUNDS : SMALL_ROUNDS
    const { results, failures } = await measureRounds({
      variants: isCompared
        ? ['nzcore', 'native-streams', 'typescript-streams', 'libp2p', 'libp2p-identify', 'tcp', 'tls', 'tls-mutual']
        : ['nzcore'],
      work: { kind: 'dial', count, size: 4 },
      rounds,
      signal,
    })
    return {
      scenario: 'dial',
      title: `${count} connections, one after the other, each closed again (tls: shared key; tls-mutual: certificates of both)`,
      rounds,
      failures,
      figures: ratesOf(results, count, 'dials/s'),
    }
  },
}
