/** Local API: streams of bytes between programs on two nodes that know each other. */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'

/** `/app/<name>/<version>`: apart from every protocol of the node itself. */
export const AppProtocol = z
  .string()
  .regex(/^\/app\/[a-z0-9][a-z0-9-]{0,31}\/[0-9]{1,4}$/, '/app/<name>/<version>, such as /app/chat/1')

/** The node's first message: from here on bytes are the other program's. */
export const StreamOpened = z.strictObject({
  type: z.literal('opened'),
  peerId: z.string().describe('libp2p peer id of the other side'),
  id: z.string().describe('nz1… of the other side'),
  name: z.string().describe('name of the other side in the contacts'),
  protocol: z.string(),
})

const shared = { method: 'POST', kind: 'duplex', result: StreamOpened, schemaName: 'nz.stream/1' } as const

export const streamsContract = defineContract({
  streamsOpen: {
    ...shared,
    path: '/streams/open',
    summary: 'Open a stream to a program on the node of a contact',
    command: ['stream', 'open'],
    params: z.strictObject({
      peer: z.string().min(1).max(128).describe('name, id or peer id of a contact'),
      protocol: AppProtocol.describe('what both programs speak, /app/<name>/<version>'),
    }),
    capability: 'streams.open',
    errors: [
      'NZ_CONTACTS_NOT_FOUND',
      'NZ_CONTACTS_AMBIGUOUS',
      'NZ_NETWORK_UNREACHABLE',
      'NZ_NETWORK_NOT_CONNECTED',
      'NZ_NETWORK_STREAM_RESET',
    ],
  },
  streamsAccept: {
    ...shared,
    path: '/streams/accept',
    summary: 'Wait for the next stream of a protocol that a contact opens to this node, and take it',
    command: ['stream', 'accept'],
    params: z.strictObject({ protocol: AppProtocol.describe('what both programs speak, /app/<name>/<version>') }),
    capability: 'streams.accept',
    errors: ['NZ_STREAMS_TOO_MANY_PROTOCOLS', 'NZ_NETWORK_STREAM_RESET'],
  },
})
