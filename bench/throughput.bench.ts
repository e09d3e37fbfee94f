/** 64 MiB in pieces of 64 KiB over one stream between two processes: what a byte costs. */
import { measureRounds } from './rounds.ts'
import { FULL_ROUNDS, ratesOf, SMALL_ROUNDS } from './scenario.ts'
import type { Scenario } from './scenario.ts'

const PIECE_BYTES = 65_536

export const throughput: Scenario = {
  name: 'throughput',
  async run({ size, isCompared, signal }) {
    const count = size === 'full' ? 1_024 : 64
    const rounds = size === 'full' ? FULL_ROUNDS : SMALL_ROUNDS
    const { results, failures } = await measureRounds({
      variants: isCompared
        ? [
            'nzcore',
            'nzcore-typescript',
            'native-streams',
            'typescript-streams',
            'libp2p',
            'libp2p-as-node',
            'tcp',
            'tls',
          ]
        : ['nzcore'],
      work: { kind: 'send', count, size: PIECE_BYTES },
      rounds,
      signal,
    })
    return {
      scenario: 'throughput',
      title: `${(count * PIECE_BYTES) / 1_048_576} MiB in pieces of 64 KiB, one stream`,
      rounds,
      failures,
      bytesPerRound: count * PIECE_BYTES,
      figures: ratesOf(results, (count * PIECE_BYTES) / 1_000_000, 'MB/s'),
    }
  },
}
