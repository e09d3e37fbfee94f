/** Local API: finding peers, services and values through other nodes, and why a peer is or is not reached (NZ-DISCOVERY-01). */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'
import { AttemptView, PeerView } from './network.ts'

const count = z.number().int().min(0)
const timeMs = z.number().describe('milliseconds since 1970')
const peer = z.string().min(1).max(512).describe('name of a contact, nz1… id, or peer id')
const name = z.string().min(1).max(64).describe('a-z 0-9 . _ - /')
const health = z.enum(['unknown', 'healthy', 'degraded', 'failing'])
const capability = z.string().min(1).max(64)
const NamedPeer = z.strictObject({
  peerId: z.string().describe('libp2p peer id, base58btc'),
  name: z.string().nullable().describe('of a contact; null for others'),
})

export const LookupView = z.strictObject({
  atMs: timeMs,
  durationMs: z.number().min(0),
  asked: count.describe('nodes that were asked'),
  hops: count.describe('answers between this node and the one that knew'),
  addresses: z.array(z.string()).nullable().describe('null: nobody knew the peer'),
})

export const OwnServiceView = z.strictObject({
  name,
  version: z.string(),
  health,
  capabilities: z.array(capability),
  holders: count.describe('nodes that took the announcement the last time'),
  announcedAtMs: timeMs.nullable().describe('null: nobody could take it yet; it is tried again'),
})

const offer = z.strictObject({
  name,
  version: z.string().min(1).max(32).default('1').describe('of the service'),
  health: health.default('healthy').describe('how the service is'),
  capabilities: z.array(capability).max(8).default([]).describe('what it can do; it is found by each of them, too'),
})

const resolveErrors = ['NZ_CONTACTS_NOT_FOUND', 'NZ_CONTACTS_AMBIGUOUS'] as const
const lookupErrors = ['NZ_DISCOVERY_OFF', 'NZ_DISCOVERY_ALONE'] as const
const storeErrors = ['NZ_STORAGE_READ_ONLY', 'NZ_STORAGE_DAMAGED', 'NZ_STORAGE_UNAVAILABLE'] as const

export const discoveryContract = defineContract({
  discoveryStatus: {
    method: 'GET',
    path: '/discovery',
    kind: 'call',
    summary: 'Show how this node finds others, and what it keeps for them',
    command: ['discovery', 'status'],
    schemaName: 'nz.discovery/1',
    params: z.strictObject({}),
    result: z.strictObject({
      discovery: z.strictObject({
        mode: z.enum(['server', 'client', 'off']),
        tableSize: count.describe('nodes in the table'),
        proven: count.describe('of them, those that answered where they said they are'),
        estimatedNodes: count.describe('how many nodes there seem to be'),
        records: count.describe('records kept for others'),
        recordBytes: count,
        counters: z.strictObject({
          lookups: count,
          hops: count.describe('answers between the table and what was found, of all lookups together'),
          queries: count.describe('requests to other nodes'),
          queriesFailed: count,
          answered: count.describe('requests of other nodes'),
          limited: count.describe('requests that were refused because the node asked too often'),
          refused: z.record(z.string(), count).describe('records that were not taken, by code'),
        }),
      }),
    }),
    capability: 'discovery.read',
    errors: [],
  },
  discoveryFind: {
    method: 'POST',
    path: '/discovery/find',
    kind: 'call',
    summary: 'Ask other nodes where a peer is',
    command: ['discovery', 'find'],
    positional: ['peer'],
    schemaName: 'nz.lookup/1',
    params: z.strictObject({ peer }),
    result: z.strictObject({ peer: NamedPeer, lookup: LookupView }),
    capability: 'discovery.write',
    errors: [...resolveErrors, ...lookupErrors, 'NZ_DISCOVERY_PEER_INVALID', 'NZ_DISCOVERY_NOT_FOUND'],
  },
  discoveryPut: {
    method: 'POST',
    path: '/discovery/put',
    kind: 'call',
    summary: 'Publish a small value under the name of this node',
    command: ['discovery', 'put'],
    positional: ['name', 'value'],
    schemaName: 'nz.published/1',
    params: z.strictObject({
      name,
      value: z.string().max(1_024).describe('text of at most 1,024 bytes; everybody can read it'),
      ttlS: z
        .number()
        .int()
        .min(60)
        .max(604_800)
        .default(86_400)
        .describe('seconds that it is kept after this node has gone; it is renewed while the node runs'),
    }),
    result: z.strictObject({ name, holders: count.describe('nodes that took it') }),
    capability: 'discovery.write',
    errors: [
      ...lookupErrors,
      ...storeErrors,
      'NZ_DISCOVERY_VALUE_INVALID',
      'NZ_DISCOVERY_NOT_STORED',
      'NZ_DISCOVERY_SERVICES_FULL',
    ],
  },
  discoveryGet: {
    method: 'POST',
    path: '/discovery/get',
    kind: 'call',
    summary: 'Read a value that a peer has published',
    command: ['discovery', 'get'],
    positional: ['peer', 'name'],
    schemaName: 'nz.value/1',
    params: z.strictObject({ peer, name }),
    result: z.strictObject({
      peer: NamedPeer,
      name,
      value: z.string().describe('as UTF-8 text'),
      base64: z.string().describe('its bytes'),
      signedAtMs: timeMs.describe('by the clock of the peer'),
    }),
    capability: 'discovery.write',
    errors: [...resolveErrors, ...lookupErrors, 'NZ_DISCOVERY_PEER_INVALID', 'NZ_DISCOVERY_NOT_FOUND'],
  },
  serviceList: {
    method: 'GET',
    path: '/services',
    kind: 'call',
    summary: 'List the services that this node announces',
    command: ['service', 'list'],
    schemaName: 'nz.services/1',
    params: z.strictObject({}),
    result: z.strictObject({ services: z.array(OwnServiceView) }),
    capability: 'discovery.read',
    errors: [],
  },
  serviceAnnounce: {
    method: 'POST',
    path: '/services',
    kind: 'call',
    summary: 'Announce a service of this node until it is withdrawn',
    command: ['service', 'announce'],
    positional: ['name'],
    schemaName: 'nz.service/1',
    params: offer,
    result: z.strictObject({ service: OwnServiceView }),
    capability: 'discovery.write',
    errors: ['NZ_DISCOVERY_OFF', ...storeErrors, 'NZ_DISCOVERY_SERVICE_INVALID', 'NZ_DISCOVERY_SERVICES_FULL'],
  },
  serviceWithdraw: {
    method: 'POST',
    path: '/services/withdraw',
    kind: 'call',
    summary: 'Announce a service no more',
    command: ['service', 'withdraw'],
    positional: ['name'],
    schemaName: 'nz.services/1',
    params: z.strictObject({ name }),
    result: z.strictObject({ services: z.array(OwnServiceView) }),
    capability: 'discovery.write',
    errors: [...storeErrors, 'NZ_DISCOVERY_SERVICE_UNKNOWN'],
  },
  serviceFind: {
    method: 'POST',
    path: '/services/find',
    kind: 'call',
    summary: 'Find who offers a service, the best first',
    command: ['service', 'find'],
    positional: ['name'],
    schemaName: 'nz.foundServices/1',
    params: z.strictObject({
      name: name.optional().describe('of the service; default: any'),
      capabilities: z.array(capability).max(8).default([]).describe('all of them are required'),
      check: z.boolean().default(true).describe('ask those found whether they are there'),
    }),
    result: z.strictObject({
      services: z.array(
        z.strictObject({
          peer: NamedPeer,
          name,
          version: z.string(),
          health: health.describe('as the peer says'),
          capabilities: z.array(capability),
          agreed: z.array(capability).describe('those that were asked for and are offered'),
          state: z.enum(['answers', 'silent', 'unasked']).describe('whether the peer answered just now'),
          rttMs: z.number().min(0).nullable(),
          trust: z.string().describe('how far this node trusts the peer'),
          expiresAtMs: timeMs.describe('when it is forgotten unless it is renewed'),
        }),
      ),
    }),
    capability: 'discovery.write',
    errors: [...lookupErrors, 'NZ_DISCOVERY_SERVICE_INVALID'],
  },
  peersWhy: {
    method: 'GET',
    path: '/peers/why',
    kind: 'call',
    summary: 'Say why a peer is or is not reached: what was tried, what came of it, what to do',
    command: ['why'],
    positional: ['peer'],
    schemaName: 'nz.why/1',
    params: z.strictObject({ peer }),
    result: z.strictObject({
      peer: PeerView,
      verdict: z.strictObject({
        state: z.enum(['connected', 'unreached', 'untried']),
        path: z
          .enum(['direct', 'punched', 'relay', 'route'])
          .nullable()
          .describe('how it is connected; punched: directly, after both have dialled at once; null when it is not'),
        code: z
          .string()
          .nullable()
          .describe('what decided, such as NZ_NETWORK_REFUSED, or why it is relayed; null when nothing is in the way'),
        says: z.string().describe('one sentence'),
        next: z.string().nullable().describe('what to do; null when nothing has to be done'),
        nextTryAtMs: timeMs
          .nullable()
          .describe('when a relayed peer is dialled directly again; null: not planned, or just now'),
      }),
      attempts: z
        .array(z.strictObject({ ...AttemptView.shape, says: z.string().describe('what that means') }))
        .describe('since the peer was reached the last time, newest last'),
      lookup: LookupView.nullable().describe('the last search for the peer among other nodes'),
    }),
    capability: 'peers.read',
    errors: resolveErrors,
  },
})
