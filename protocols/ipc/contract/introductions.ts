/** Local API: two contacts are introduced to each other; those who are introduced decide (NZ-DISCOVERY-01 §10). */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'

const contact = z.string().min(1).max(128).describe('name of a contact, nz1… id, or peer id')
const id = z.string().min(1).max(32).describe('of the introduction')
const NamedPeer = z.strictObject({
  peerId: z.string().describe('libp2p peer id, base58btc'),
  name: z.string().nullable().describe('of a contact; null for others'),
})

export const IntroductionView = z.strictObject({
  id,
  introducer: NamedPeer,
  peerId: z.string().describe('who is introduced'),
  name: z.string().describe('how the introducer calls the peer'),
  state: z.enum(['pending', 'accepted', 'joined']).describe('accepted: here, not yet there'),
  isAcceptedThere: z.boolean().describe('whether the person on the other side has accepted'),
  expiresAtMs: z.number().describe('milliseconds since 1970'),
})

const storeErrors = ['NZ_STORAGE_READ_ONLY', 'NZ_STORAGE_DAMAGED', 'NZ_STORAGE_UNAVAILABLE'] as const

export const introductionsContract = defineContract({
  introductionsList: {
    method: 'GET',
    path: '/introductions',
    kind: 'call',
    summary: 'List the peers that contacts want to introduce to this node',
    command: ['introductions'],
    schemaName: 'nz.introductions/1',
    params: z.strictObject({}),
    result: z.strictObject({ introductions: z.array(IntroductionView) }),
    capability: 'introductions.read',
    errors: [],
  },
  introductionsMake: {
    method: 'POST',
    path: '/introductions',
    kind: 'call',
    summary: 'Introduce two contacts to each other',
    command: ['introductions', 'make'],
    positional: ['first', 'second'],
    schemaName: 'nz.introductionMade/1',
    params: z.strictObject({ first: contact, second: contact }),
    result: z.strictObject({ id }),
    capability: 'introductions.write',
    errors: [
      'NZ_CONTACTS_NOT_FOUND',
      'NZ_CONTACTS_AMBIGUOUS',
      'NZ_INTRODUCTION_SAME',
      'NZ_INTRODUCTION_REFUSED',
      'NZ_INTRODUCTION_FULL',
      'NZ_NETWORK_UNREACHABLE',
      'NZ_NETWORK_NOT_CONNECTED',
      'NZ_NETWORK_METHOD_UNKNOWN',
    ],
  },
  introductionsAccept: {
    method: 'POST',
    path: '/introductions/accept',
    kind: 'call',
    summary: 'Agree to be introduced; when both sides did, they are contacts',
    command: ['introductions', 'accept'],
    positional: ['id'],
    schemaName: 'nz.introduction/1',
    params: z.strictObject({ id }),
    result: z.strictObject({ introduction: IntroductionView }),
    capability: 'introductions.write',
    errors: ['NZ_INTRODUCTION_UNKNOWN', 'NZ_CONTACTS_FULL', ...storeErrors],
  },
  introductionsDecline: {
    method: 'POST',
    path: '/introductions/decline',
    kind: 'call',
    summary: 'Refuse to be introduced',
    command: ['introductions', 'decline'],
    positional: ['id'],
    schemaName: 'nz.introductions/1',
    params: z.strictObject({ id }),
    result: z.strictObject({ introductions: z.array(IntroductionView) }),
    capability: 'introductions.write',
    errors: ['NZ_INTRODUCTION_UNKNOWN', ...storeErrors],
  },
})
