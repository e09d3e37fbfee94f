/** Local API: how far this node trusts peers, why, and what others say (NZ-TRUST-01). */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'

const count = z.number().int().min(0)
const peer = z.string().min(1).max(128).describe('name of a contact, nz1… id, or peer id')
const level = z.enum(['UNKNOWN', 'LOW', 'MEDIUM', 'HIGH', 'ULTIMATE'])
const act = z.enum(['connect', 'replicate', 'send', 'route', 'administer'])
const timeMs = z.number().describe('milliseconds since 1970')
const expiresAtMs = timeMs.nullable().describe('null: never')
const vouchDepth = count.max(3).describe('how far the subject may vouch for others; 0: not at all')
const PeerView = z.strictObject({
  peerId: z.string().describe('libp2p peer id, base58btc'),
  name: z.string().nullable().describe('of a contact; null for others'),
})

export const TrustView = z.strictObject({
  peer: PeerView,
  level,
  weight: count.max(1_000).describe('of 1,000'),
  because: z
    .enum(['self', 'own', 'path', 'revoked', 'none'])
    .describe('own: a statement of this node decides; path: statements of others, see paths'),
  isForked: z.boolean().describe('the peer has signed two histories: what it says counts for nothing'),
  revokedBy: z.array(PeerView),
  paths: z
    .array(
      z.array(
        z.strictObject({
          issuer: PeerView,
          subject: PeerView,
          level,
          vouchDepth,
          expiresAtMs,
          weight: count.describe('of 1,000, along the path up to here'),
        }),
      ),
    )
    .describe('best first; how the weight comes about is in NZ-TRUST-01 §6'),
  isCut: z.boolean().describe('not all statements could be looked at'),
  mayDo: z.array(act).describe('what the policy of this node lets the peer do'),
})

export const TrustStatementView = z.strictObject({
  subject: PeerView,
  kind: z.enum(['trust', 'revoke']),
  level,
  vouchDepth,
  expiresAtMs,
  isExpired: z.boolean(),
})

const ownLog = z
  .enum(['ready', 'unsure', 'forked'])
  .describe('unsure: restored from a backup; nothing is stated until a peer has told what was stated since')

const peerErrors = ['NZ_CONTACTS_NOT_FOUND', 'NZ_CONTACTS_AMBIGUOUS', 'NZ_TRUST_PEER_INVALID'] as const
const writeErrors = [
  ...peerErrors,
  'NZ_TRUST_OWN_FORK',
  'NZ_TRUST_RESTORED',
  'NZ_STORAGE_READ_ONLY',
  'NZ_STORAGE_DAMAGED',
  'NZ_STORAGE_UNAVAILABLE',
] as const

export const trustContract = defineContract({
  trustList: {
    method: 'GET',
    path: '/trust',
    kind: 'call',
    summary: 'List what this node says of peers',
    command: ['trust'],
    schemaName: 'nz.trustStatements/1',
    params: z.strictObject({}),
    result: z.strictObject({ statements: z.array(TrustStatementView) }),
    capability: 'trust.read',
    errors: [],
  },
  trustStatus: {
    method: 'GET',
    path: '/trust/status',
    kind: 'call',
    summary: 'Show the state of what this node knows of trust',
    command: ['trust', 'status'],
    schemaName: 'nz.trustStatus/1',
    params: z.strictObject({}),
    result: z.strictObject({
      trust: z.strictObject({
        root: z.string().describe('equal for nodes that hold the same updates'),
        issuers: count,
        updates: count,
        forked: z.array(PeerView).describe('issuers that have signed two histories'),
        ownLog,
        refused: z
          .record(z.string(), count)
          .describe('updates and requests of peers that were refused since the start, by code'),
      }),
    }),
    capability: 'trust.read',
    errors: [],
  },
  trustResume: {
    method: 'POST',
    path: '/trust/resume',
    kind: 'call',
    summary: 'State again after a restore, though no peer has told what was stated since the backup',
    command: ['trust', 'resume'],
    schemaName: 'nz.trustResumed/1',
    params: z.strictObject({}),
    result: z.strictObject({ ownLog }),
    capability: 'trust.write',
    errors: ['NZ_STORAGE_DAMAGED', 'NZ_STORAGE_UNAVAILABLE', 'NZ_HOME_UNWRITABLE'],
  },
  trustExplain: {
    method: 'GET',
    path: '/trust/explain',
    kind: 'call',
    summary: 'Show how far a peer is trusted, and the statements and arithmetic it follows from',
    command: ['trust', 'explain'],
    positional: ['peer'],
    schemaName: 'nz.trust/1',
    params: z.strictObject({ peer }),
    result: z.strictObject({ trust: TrustView }),
    capability: 'trust.read',
    errors: peerErrors,
  },
  trustSet: {
    method: 'POST',
    path: '/trust/set',
    kind: 'call',
    summary: 'State how far this node trusts a peer',
    command: ['trust', 'set'],
    positional: ['peer', 'level'],
    schemaName: 'nz.trust/1',
    params: z.strictObject({
      peer,
      level: level.describe('UNKNOWN: known, and not trusted'),
      vouchDepth: vouchDepth.default(0),
      expiresInMs: z
        .number()
        .int()
        .min(1_000)
        .max(315_360_000_000)
        .optional()
        .describe('how long it is true, in milliseconds; default: until it is changed'),
    }),
    result: z.strictObject({ trust: TrustView }),
    capability: 'trust.write',
    errors: [...writeErrors, 'NZ_TRUST_SELF', 'NZ_TRUST_REVOKED'],
  },
  trustWithdraw: {
    method: 'POST',
    path: '/trust/withdraw',
    kind: 'call',
    summary: 'Take back what this node says of a peer',
    command: ['trust', 'withdraw'],
    positional: ['peer'],
    schemaName: 'nz.trust/1',
    params: z.strictObject({ peer }),
    result: z.strictObject({ trust: TrustView }),
    capability: 'trust.write',
    errors: [...writeErrors, 'NZ_TRUST_NOT_STATED'],
  },
  trustRevoke: {
    method: 'POST',
    path: '/trust/revoke',
    kind: 'call',
    summary: 'Revoke a peer for ever, and tell who trusts this node',
    command: ['trust', 'revoke'],
    positional: ['peer'],
    schemaName: 'nz.trust/1',
    params: z.strictObject({
      peer,
      reason: z.enum(['none', 'lost', 'replaced', 'misbehaved']).default('none').describe('why; everybody is told'),
    }),
    result: z.strictObject({ trust: TrustView }),
    capability: 'trust.write',
    errors: writeErrors,
  },
  trustLog: {
    method: 'GET',
    path: '/trust/log',
    kind: 'call',
    summary: 'Show the updates that are known of an issuer',
    command: ['trust', 'log'],
    positional: ['peer'],
    schemaName: 'nz.trustLog/1',
    params: z.strictObject({
      peer: peer.optional().describe('the issuer; default: this node'),
      after: count.default(0).describe('only updates after this sequence'),
      limit: z.number().int().min(1).max(1_000).default(100).describe('most updates to list'),
    }),
    result: z.strictObject({
      updates: z.array(
        z.strictObject({
          issuer: PeerView,
          sequence: count,
          id: z.string(),
          issuedAtMs: timeMs.describe('by the clock of the issuer, in milliseconds since 1970'),
          subject: PeerView,
          kind: z.enum(['trust', 'withdraw', 'revoke']),
          level: level.nullable(),
          vouchDepth,
          expiresAtMs,
          isEvidence: z.boolean().describe('part of the proof that the issuer signed two histories'),
        }),
      ),
    }),
    capability: 'trust.read',
    errors: peerErrors,
  },
  trustSync: {
    method: 'POST',
    path: '/trust/sync',
    kind: 'call',
    summary: 'Compare with a peer now and exchange what either lacks',
    command: ['trust', 'sync'],
    positional: ['peer'],
    schemaName: 'nz.trustSync/1',
    params: z.strictObject({ peer }),
    result: z.strictObject({
      received: count.describe('updates that were new here'),
      sent: count.describe('updates that were new there'),
      isEqual: z.boolean().describe('false when either side does not follow all issuers of the other'),
    }),
    capability: 'trust.write',
    errors: [
      ...peerErrors,
      'NZ_TRUST_NOT_ALLOWED',
      'NZ_TRUST_BUSY',
      'NZ_TRUST_PROTOCOL',
      'NZ_NETWORK_UNREACHABLE',
      'NZ_NETWORK_NOT_CONNECTED',
      'NZ_NETWORK_METHOD_UNKNOWN',
      'NZ_NETWORK_REQUEST_FAILED',
      'NZ_NETWORK_TIMEOUT',
    ],
  },
})
