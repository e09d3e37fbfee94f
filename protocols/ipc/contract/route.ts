/** Local API: which peers are reached through other nodes, and by which (NZ-ROUTING-01). */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'

const count = z.number().int().min(0)
const peer = z
  .string()
  .min(1)
  .max(512)
  .describe('contact name, nz1… id, peer id, beginning of an id, or an address that ends in /p2p/<peer id>')
const PeerView = z.strictObject({
  peerId: z.string().describe('libp2p peer id, base58btc'),
  name: z.string().nullable().describe('of a contact; null for others'),
})
const rttMs = z.number().min(0).nullable().describe('round trip in milliseconds; null before it was measured')
const share = z.number().min(0).max(1)

export const NeighbourView = z.strictObject({
  peer: PeerView,
  isOpen: z.boolean().describe('false while the two have not agreed on keys'),
  rttMs,
  delivery: z
    .strictObject({ in: share, out: share })
    .nullable()
    .describe('share of the last hellos that came, in both directions'),
})

export const RouteView = z.strictObject({
  destination: PeerView,
  ways: z
    .array(
      z.strictObject({
        nextHop: PeerView,
        metric: count.describe('256 for each hop that loses nothing; more for losses, and 1 for each millisecond'),
        ageMs: z.number().min(0).describe('since it was announced'),
        isSelected: z.boolean(),
        isFeasible: z
          .boolean()
          .describe('false: taking it could make a loop; others are taken at once when one is lost'),
      }),
    )
    .describe('the selected one first'),
})

export const TraceView = z.strictObject({
  peer: PeerView,
  hops: z
    .array(
      z.strictObject({
        peer: PeerView,
        rttMs: z.number().min(0).describe('between it and the one before, in milliseconds, as the two say'),
        isSetupSigned: z.boolean().describe('its signature over what it received on the way there is its own'),
        isAnswerSigned: z.boolean().describe('the same on the way back'),
      }),
    )
    .describe('the nodes behind this one, the peer last'),
  rttMs,
  isVerified: z.boolean().describe('whether every signature is that of the node it names'),
  evidence: z.string().nullable().describe('the answer with all signatures (NZ-ROUTING-01 §6), in base64'),
})

export const routeContract = defineContract({
  routeList: {
    method: 'GET',
    path: '/routes',
    kind: 'call',
    summary: 'List the peers that can be reached through others, and by which way',
    command: ['route'],
    schemaName: 'nz.routes/1',
    params: z.strictObject({}),
    result: z.strictObject({ routes: z.array(RouteView) }),
    capability: 'route.read',
    errors: [],
  },
  routeStatus: {
    method: 'GET',
    path: '/routes/status',
    kind: 'call',
    summary: 'Show the neighbours this node routes with, and what it passes on',
    command: ['route', 'status'],
    schemaName: 'nz.routing/1',
    params: z.strictObject({}),
    result: z.strictObject({
      routing: z.strictObject({
        neighbours: z.array(NeighbourView),
        relayedPaths: count.describe('paths that this node passes on for others'),
        streams: count.describe('streams of this node over routes'),
        dropped: count.describe('messages dropped because a neighbour read too slowly'),
        refused: z.record(z.string(), count).describe('messages that were not taken, by code'),
      }),
    }),
    capability: 'route.read',
    errors: [],
  },
  routeTrace: {
    method: 'POST',
    path: '/routes/trace',
    kind: 'call',
    summary: 'Set up a path to a peer and show every node on it, with its delay and its signatures',
    command: ['trace'],
    positional: ['peer'],
    schemaName: 'nz.trace/1',
    params: z.strictObject({
      peer,
      maxHops: z.number().int().min(0).max(16).optional().describe('nodes between this one and the peer, at most'),
    }),
    result: z.strictObject({ trace: TraceView }),
    capability: 'route.write',
    errors: [
      'NZ_CONTACTS_NOT_FOUND',
      'NZ_CONTACTS_AMBIGUOUS',
      'NZ_ROUTE_NONE',
      'NZ_ROUTE_TTL',
      'NZ_ROUTE_REFUSED',
      'NZ_ROUTE_REPLAYED',
      'NZ_ROUTE_LIMITED',
      'NZ_ROUTE_BROKEN',
      'NZ_ROUTE_TIMEOUT',
      'NZ_ROUTE_FORGED',
    ],
  },
})
