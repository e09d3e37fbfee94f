/** Local API: peers, connections and paths. */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'

export const PeerSummary = z.strictObject({
  peerId: z.string().describe('libp2p peer id, base58btc'),
  rttMs: z.number().min(0).nullable().describe('last round-trip time in milliseconds'),
})

export const networkContract = defineContract({
  peersList: {
    method: 'GET',
    path: '/peers',
    kind: 'call',
    summary: 'List the peers and how each is reached',
    command: ['peers'],
    schemaName: 'nz.peers/1',
    params: z.strictObject({
      limit: z.coerce.number().int().min(1).max(1000).default(100).describe('most peers to return'),
    }),
    result: z.strictObject({ peers: z.array(PeerSummary) }),
    capability: 'peers.read',
    errors: [],
  },
})
