/** 10,000 messages of 1 KiB over one stream between two processes: what one message costs. */
import { measureRounds } from './rounds.ts'
import { FULL_ROUNDS, ratesOf, SMALL_ROUNDS } from './scenario.ts'
import type { Scenario } from './scenario.ts'

export const burst: Scenario = {
  name: 'burst',
  async run({ size, isCompared, signal }) {
    const count = size === 'full' ? 10_000 : 500
    const rounds = size === 'full' ? FULL_ROUNDS : SMALL_ROUNDS
    const { results, failures } = await measureRounds({
      variants: isCompared
        ? [
            'nzcore',
            'nzcore-batched',
            'nzcore-typescript',
            'native-streams',
            'typescript-streams',
            'libp2p',
            'libp2p-as-node',
            'libp2p-batched',
            'libp2p-lp',
            'tcp',
            'tcp-corked',
            'tls',
          ]
        : ['nzcore'],
      work: { kind: 'send', count, size: 1_024 },
      rounds,
      signal,
    })
    return {
      scenario: 'burst',
      title: `${count.toLocaleString('en-US')} messages of 1 KiB, one stream`,
      rounds,
      failures,
      figures: ratesOf(results, count, 'messages/s'),
    }
  },
}
