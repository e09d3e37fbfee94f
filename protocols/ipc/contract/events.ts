/** Local API: what happens in the node, as it happens. */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'

/** Where a reader is: the run of the node and the id of the last event, such as `mf2k1x0a-17`. */
export const EventCursor = z.string().regex(/^[0-9a-z]{1,16}-\d{1,15}$/, 'a cursor of an event before')

const cursor = z.string().describe('place in the timeline: pass it as `after` to go on from here')

export const EventItem = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('event'),
    cursor,
    id: z.number().int().describe('1 for the first event of this run of the node, then one more for each'),
    atMs: z.number().describe('milliseconds since 1970'),
    name: z.string().describe('area.fact, such as network.peerConnected'),
    payload: z.unknown().describe('what happened; its shape depends on the name'),
  }),
  z.strictObject({
    kind: z.literal('gap'),
    cursor,
    reason: z.enum(['history', 'restart']).describe('`history`: no longer held; `restart`: the node runs anew'),
    missed: z.number().int().nullable().describe('events of any name that are lost; null when unknown'),
  }),
])

export const eventsContract = defineContract({
  eventsFollow: {
    method: 'GET',
    path: '/events',
    kind: 'stream',
    summary: 'Follow what happens in the node',
    command: ['events'],
    schemaName: 'nz.event/1',
    params: z.strictObject({
      names: z
        .array(z.string().regex(/^[a-z][A-Za-z]*(?:\.[a-zA-Z]+)?$/, 'a name (network.peerConnected) or area (network)'))
        .max(32)
        .optional()
        .describe('exact names, or areas such as `network`; default: all'),
      after: EventCursor.optional().describe('cursor of the last event that was read; default: from now on'),
      isFollowing: z.boolean().default(true).describe('go on with what happens next; else end with what has happened'),
    }),
    result: EventItem,
    resume: { cursor: 'cursor', param: 'after' },
    capability: 'events.read',
    errors: [],
  },
})
