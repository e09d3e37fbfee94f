/** Local API: who the running node is. Changes of an identity need no node and are no endpoints. */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'

const publicKey = z.string().regex(/^[0-9a-f]{64}$/)

export const IdentityDocument = z.strictObject({
  profile: z.string().describe('name of the profile'),
  id: z.string().describe('nz1…, what people copy'),
  peerId: z.string().describe('libp2p peer id, base58btc'),
  fingerprint: z.array(z.string()).describe('words for people to compare'),
  nodePublicKey: publicKey.describe('Ed25519, hexadecimal; the key inside the peer id'),
  signingPublicKey: publicKey.describe('Ed25519, hexadecimal; signs for the identity'),
  boxPublicKey: publicKey.describe('X25519, hexadecimal; receives sealed messages'),
  protection: z.enum(['passphrase', 'key-file']).describe('how the keystore is protected'),
  createdAtMs: z.number().describe('milliseconds since 1970'),
  isBackedUp: z.boolean().describe('whether the words were shown or an export was written'),
})

export const identityContract = defineContract({
  identityShow: {
    method: 'GET',
    path: '/identity',
    kind: 'call',
    summary: 'Show the identity, its keys and how it is protected',
    command: ['identity', 'show'],
    schemaName: 'nz.identity/1',
    params: z.strictObject({}),
    result: IdentityDocument,
    capability: 'identity.read',
    errors: ['NZ_IDENTITY_DAMAGED', 'NZ_IDENTITY_FILE_UNSAFE', 'NZ_IDENTITY_FILE_FAILED', 'NZ_IDENTITY_NONE'],
  },
})
