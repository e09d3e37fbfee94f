/** Local API: access tokens for programs that use it over TCP. */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'

const timeMs = z.number().describe('milliseconds since 1970')

const DAY_MS = 86_400_000
export const MAX_TOKEN_LIFETIME_MS = 366 * DAY_MS

export const TokenLine = z.strictObject({
  id: z.string().describe('id of the token, not the token itself'),
  name: z.string(),
  capabilities: z.array(z.string()).describe('what it grants: area.verb, area.* or *'),
  createdAtMs: timeMs,
  expiresAtMs: timeMs,
  revokedAtMs: timeMs.nullable(),
  isUsable: z.boolean().describe('neither expired nor revoked'),
})

const TokenName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$/, 'letters, digits, . _ -; at most 32')

export const tokensContract = defineContract({
  tokensCreate: {
    method: 'POST',
    path: '/tokens/create',
    kind: 'call',
    summary: 'Create an access token for a program; it is shown only once',
    command: ['token', 'create'],
    positional: ['name'],
    schemaName: 'nz.token/1',
    params: z.strictObject({
      name: TokenName.describe('what the token is for'),
      capabilities: z
        .array(z.string().regex(/^(?:\*|[a-z]+\.(?:\*|[a-z-]+))$/, 'area.verb, area.* or *'))
        .min(1)
        .max(64)
        .describe('what it grants: area.verb, area.* or *; never more than the caller has'),
      lifetimeMs: z
        .number()
        .int()
        .min(1_000)
        .max(MAX_TOKEN_LIFETIME_MS)
        .default(30 * DAY_MS)
        .describe('how long it is valid, in milliseconds'),
    }),
    result: TokenLine.extend({ token: z.string().describe('for the Authorization header: Bearer <token>') }),
    capability: 'tokens.admin',
    errors: ['NZ_IPC_TOKEN_NAME_TAKEN', 'NZ_IPC_TOO_MANY_TOKENS', 'NZ_IPC_CAPABILITY_UNKNOWN', 'NZ_STORAGE_READ_ONLY'],
  },
  tokensList: {
    method: 'GET',
    path: '/tokens',
    kind: 'call',
    summary: 'List the access tokens',
    command: ['token', 'list'],
    schemaName: 'nz.tokens/1',
    params: z.strictObject({}),
    result: z.strictObject({ tokens: z.array(TokenLine) }),
    capability: 'tokens.admin',
    errors: [],
  },
  tokensRevoke: {
    method: 'POST',
    path: '/tokens/revoke',
    kind: 'call',
    summary: 'Revoke an access token; what it has open is cut',
    command: ['token', 'revoke'],
    positional: ['token'],
    schemaName: 'nz.token-revoked/1',
    params: z.strictObject({ token: z.string().min(1).max(64).describe('name or id of the token') }),
    result: TokenLine,
    capability: 'tokens.admin',
    errors: ['NZ_IPC_TOKEN_NOT_FOUND', 'NZ_STORAGE_READ_ONLY'],
  },
})
