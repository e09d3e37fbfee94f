/** 60,000 messages of 1 KiB over 150 connections at once: what many busy peers cost one another. */
import { measureRounds } from './rounds.ts'
import { FULL_ROUNDS, ratesOf, SMALL_ROUNDS } from './scenario.ts'
import type { Scenario } from './scenario.ts'

export const connections: Scenario = {
  name: 'connections',
  async run({ size, isCompared, signal }) {
    const [clients, count] = size === 'full' ? [150, 400] : [8, 20]
    const rounds = size === 'full' ? FULL_ROUNDS : SMALL_ROUNDS
    const { results, failures } = await measureRounds({
      // Nodes of libp2p alone: a hundred whole nodes in one process would be what is measured.
      variants: isCompared
        ? ['typescript-streams', 'libp2p', 'libp2p-batched', 'tcp', 'tcp-corked', 'tls']
        : ['typescript-streams'],
      work: { kind: 'send', count, size: 1_024 },
      clients,
      rounds,
      signal,
    })
    return {
      scenario: 'connections',
      title: `${clients} connections at once, ${count} messages of 1 KiB on each, one server`,
      rounds,
      failures,
      figures: ratesOf(results, clients * count, 'messages/s'),
    }
  },
}
