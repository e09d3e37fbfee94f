/** One stream whose reader has stopped, beside one that is read: what the other keeps, and what the writer piles up. */
import { measureRounds } from './rounds.ts'
import { FULL_ROUNDS, SMALL_ROUNDS, withRatios } from './scenario.ts'
import type { Scenario } from './scenario.ts'

const PIECE_BYTES = 65_536
const PIECES = { small: 16, full: 512 } as const

export const slowReader: Scenario = {
  name: 'slow-reader',
  async run({ size, isCompared, signal }) {
    const rounds = size === 'full' ? FULL_ROUNDS : SMALL_ROUNDS
    const { results, failures } = await measureRounds({
      // Raw sockets have a connection for each stream: there the system keeps them apart.
      variants: isCompared
        ? ['nzcore', 'nzcore-typescript', 'native-streams', 'typescript-streams', 'libp2p', 'tcp']
        : ['nzcore'],
      work: { kind: 'stall', count: PIECES[size], size: PIECE_BYTES },
      rounds,
      signal,
    })
    const shares = results.flatMap(({ variant: name, stalled, cpuMs, peakMb }) =>
      stalled === null ? [] : [{ name, ...stalled.share, unit: 'of its rate' as const, cost: { cpuMs, peakMb } }],
    )
    const taken = results.flatMap(({ variant, stalled }) =>
      stalled === null ? [] : [{ name: `${variant}, taken`, ...stalled.takenMb, unit: 'MB' as const }],
    )
    return {
      scenario: 'slow-reader',
      title:
        `${(PIECES[size] * PIECE_BYTES) / 1_048_576} MiB on one stream beside one whose reader has stopped: the share of its rate without, ` +
        'and the bytes taken for that reader before its writer had to wait (system included)',
      rounds,
      failures,
      figures: [...withRatios(shares), ...withRatios(taken)],
    }
  },
}
