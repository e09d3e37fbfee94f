/** Local API: the node as a whole. */
import { z } from 'zod'
import { moduleStates } from '../../../kernel/index.ts'
import { defineContract } from '../endpoint.ts'
import { Backend } from './network.ts'

const bytes = z.number().int().min(0)
const timeMs = z.number().describe('milliseconds since 1970')

export const ModuleHealth = z.strictObject({
  name: z.string().describe('name of the module'),
  state: z.enum(moduleStates).describe('where it is in its life'),
  sinceMs: timeMs,
  health: z.enum(['healthy', 'degraded', 'unhealthy']).nullable().describe('last probe; null without one'),
  code: z.string().nullable().describe('why it is not healthy, as an error code'),
  why: z.string().nullable().describe('why it is not healthy'),
  restarts: z.number().int().describe('restarts by the supervisor since the node started'),
  restartAtMs: timeMs.nullable().describe('when it is run again; null when no restart is due'),
})

export const PeerLine = z.strictObject({
  peerId: z.string().describe('libp2p peer id, base58btc'),
  name: z.string().nullable().describe('name in the contacts; null for a stranger'),
  id: z.string().nullable().describe('nz1… of a contact; null for a stranger'),
  state: z.enum(['connected', 'reconnecting', 'disconnected']),
  isKept: z.boolean().describe('whether the node keeps the connection up by itself'),
  transport: z.enum(['tcp', 'websocket', 'relay', 'route']).nullable().describe('of the path in use; null without one'),
  via: z.string().nullable().describe('name, or else id, of the first node of a route; null otherwise'),
  direction: z.enum(['inbound', 'outbound']).nullable().describe('who opened the path in use'),
  backend: Backend.nullable().describe('the stack that moves the bytes of the path in use'),
  address: z.string().nullable().describe('multiaddr of the path in use'),
  rttMs: z.number().min(0).nullable().describe('last round trip in milliseconds'),
  txBytes: bytes.describe('sent over the open paths'),
  rxBytes: bytes.describe('received over the open paths'),
  connectedAtMs: timeMs.nullable(),
})

const Counts = z.record(z.string(), z.number().int())

export const nodeContract = defineContract({
  nodeStatus: {
    method: 'GET',
    path: '/node/status',
    kind: 'call',
    summary: 'Show how the node, its modules and its connections are',
    command: ['status'],
    schemaName: 'nz.status/1',
    params: z.strictObject({}),
    result: z.strictObject({
      profile: z.string(),
      pid: z.number().int(),
      version: z.string(),
      state: z.enum(['created', 'starting', 'running', 'degraded', 'stopping', 'stopped']),
      startedAtMs: timeMs,
      uptimeMs: z.number().min(0),
      peerId: z.string().describe('libp2p peer id of this node'),
      id: z.string().describe('nz1… of this node'),
      fingerprint: z.array(z.string()).describe('words for people to compare'),
      protection: z.enum(['passphrase', 'key-file']).describe('how the keystore is protected'),
      apiUrl: z.string().nullable().describe('where the local API listens on TCP; null when it does not'),
      addresses: z.array(z.string()).describe('multiaddrs this node can be dialled at'),
      memoryBytes: bytes.describe('resident memory of the process'),
      cpuPercent: z.number().min(0).describe('of one core, since the last status or over the last seconds'),
      bufferedBytes: bytes.describe('network buffers in use'),
      bufferBudgetBytes: bytes.describe('what network buffers may use together'),
      limits: z
        .strictObject({
          connectionsRefused: Counts.describe('connections that were not let in, by reason'),
          handshakesEvicted: z.number().int().describe('handshakes that were cut for newer ones'),
          streamsRefused: Counts.describe('streams of proven peers that were not served, by reason'),
        })
        .describe('what limits have kept out since the start'),
      txBytes: bytes.describe('sent to peers since the start'),
      rxBytes: bytes.describe('received from peers since the start'),
      connected: z.number().int().describe('peers connected now'),
      contacts: z.number().int().nullable().describe('peers in the contacts; null: they cannot be read'),
      reachability: z
        .strictObject({
          verdict: z.enum(['direct', 'punchable', 'relayed', 'unreachable', 'unknown']),
          why: z.string(),
        })
        .describe('how other peers reach this node; nzcore reachability says more'),
      peers: z.array(PeerLine).describe('those that are connected or kept'),
      backend: z
        .strictObject({
          asked: z.enum(['auto', 'off', 'epoll', 'stock']).describe('network.native of the configuration'),
          backend: Backend,
          code: z
            .enum(['off', 'platform', 'not-built', 'not-loadable', 'refused-by-system'])
            .nullable()
            .describe('why the native stack does not run; null when it does'),
          reason: z.string().nullable().describe('the same in words, or why it is not the fastest there is'),
        })
        .describe('the stack new TCP connections get'),
      modules: z.array(ModuleHealth),
    }),
    capability: 'node.read',
    errors: [],
  },
  nodeVersion: {
    method: 'GET',
    path: '/node/version',
    kind: 'call',
    summary: 'Show the versions of the running node',
    command: ['version'],
    schemaName: 'nz.version/1',
    params: z.strictObject({}),
    result: z.strictObject({
      version: z.string().describe('version of nzcore'),
      apiVersion: z.number().int().describe('version of the local API'),
      runtime: z.string().describe('version of Node.js'),
      platform: z.string().describe('operating system and processor'),
    }),
    capability: 'node.read',
    errors: [],
  },
  nodeStop: {
    method: 'POST',
    path: '/node/stop',
    kind: 'call',
    summary: 'Stop the node',
    command: ['down'],
    schemaName: 'nz.down/1',
    params: z.strictObject({ reason: z.string().max(200).default('asked over the local API').describe('for the log') }),
    result: z.strictObject({ pid: z.number().int().describe('process that is stopping') }),
    capability: 'node.stop',
    errors: [],
  },
})
