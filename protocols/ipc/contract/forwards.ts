/** Local API: TCP services of contacts on local ports, and local services for contacts. */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'

const count = z.number().int().min(0)
const service = z.string().min(1).max(64).describe('name of the service: lower-case letters, digits, ._-')

export const ForwardView = z.strictObject({
  forwardId: z.string().describe('fwd_…'),
  kind: z.enum(['local', 'exposed']).describe('local: a port here to a peer; exposed: a service here for contacts'),
  service: z.string(),
  peerId: z.string().nullable().describe('whose service it is; null when it is exposed here'),
  peer: z.string().nullable().describe('name of that contact; null when it is none any more'),
  address: z.string().describe('host:port that is listened on, or that is exposed'),
  allow: z.array(z.string()).nullable().describe('names (or peer ids) of who may use it; null: every contact'),
  state: z.enum(['listening', 'exposed', 'failed']),
  connections: count.describe('open now'),
  totalConnections: count.describe('opened since the node started'),
  lastCode: z.string().nullable().describe('why the last connection or the listener failed; null when all is well'),
  txBytes: count.describe('sent to peers since the node started'),
  rxBytes: count.describe('received from peers since the node started'),
})

const contactErrors = ['NZ_CONTACTS_NOT_FOUND', 'NZ_CONTACTS_AMBIGUOUS'] as const

export const forwardsContract = defineContract({
  forwardsStart: {
    method: 'POST',
    path: '/forwards',
    kind: 'call',
    summary: 'Carry a local TCP port to a service of a contact, also after restarts',
    command: ['forward'],
    positional: ['peer', 'service'],
    schemaName: 'nz.forward/1',
    params: z.strictObject({
      peer: z.string().min(1).max(128).describe('name or id of the contact'),
      service,
      local: z.number().int().min(0).max(65_535).default(0).describe('local port; 0: any free one, which then stays'),
      bind: z.string().min(1).max(64).default('127.0.0.1').describe('IP address to listen on'),
    }),
    result: z.strictObject({ forward: ForwardView }),
    capability: 'forwards.write',
    errors: [
      ...contactErrors,
      'NZ_FORWARD_INVALID',
      'NZ_FORWARD_PORT_TAKEN',
      'NZ_FORWARD_PORT_DENIED',
      'NZ_FORWARD_TOO_MANY',
    ],
  },
  forwardsExpose: {
    method: 'POST',
    path: '/forwards/expose',
    kind: 'call',
    summary: 'Offer a TCP service that this machine reaches to contacts, also after restarts',
    command: ['forward', 'expose'],
    positional: ['service'],
    schemaName: 'nz.forward/1',
    params: z.strictObject({
      service,
      to: z.string().min(1).max(300).describe('address of the service: host:port, [ip6]:port or port'),
      allow: z
        .array(z.string().min(1).max(128))
        .max(1_024)
        .optional()
        .describe('names or ids of the contacts that may use it; default: every contact'),
    }),
    result: z.strictObject({ forward: ForwardView }),
    capability: 'forwards.write',
    errors: [...contactErrors, 'NZ_FORWARD_INVALID', 'NZ_FORWARD_EXISTS', 'NZ_FORWARD_TOO_MANY'],
  },
  forwardsList: {
    method: 'GET',
    path: '/forwards',
    kind: 'call',
    summary: 'List forwarded ports and exposed services',
    command: ['forward', 'list'],
    schemaName: 'nz.forwards/1',
    params: z.strictObject({}),
    result: z.strictObject({ forwards: z.array(ForwardView) }),
    capability: 'forwards.read',
    errors: [],
  },
  forwardsStop: {
    method: 'POST',
    path: '/forwards/stop',
    kind: 'call',
    summary: 'End a forward and its connections',
    command: ['forward', 'stop'],
    positional: ['forward'],
    schemaName: 'nz.forward/1',
    params: z.strictObject({
      forward: z.string().min(1).max(64).describe('fwd_…, or the service when only one has it'),
    }),
    result: z.strictObject({ forward: ForwardView }),
    capability: 'forwards.write',
    errors: ['NZ_FORWARD_NOT_FOUND'],
  },
})
