/** The lines of an exported log. spec/NZ-LOG-01.md §7. */
import { z } from 'zod'
import { entryKinds, isLogName } from './names.ts'

export const EXPORT_FORMAT = 'nz-log-export/1'

const count = z.number().int().min(0)
const hash = z.string().regex(/^[0-9a-f]{64}$/)
const encoding = z.enum(['text', 'base64'])

export const ExportLine = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('begin'),
    format: z.literal(EXPORT_FORMAT),
    log: z.string().refine(isLogName, 'the name of a log'),
    uid: z.string().regex(/^[0-9a-f]{32}$/),
    after: count.describe('entries behind this one follow'),
    previous: hash.describe('what the first of them has for its predecessor'),
    peerId: z.string().max(128).describe('the node that exports and signs'),
    atMs: count,
  }),
  z.strictObject({
    type: z.literal('entry'),
    kind: z.enum(entryKinds),
    sequence: count,
    atMs: count,
    encoding,
    payload: z.string(),
    hash,
  }),
  z.strictObject({
    type: z.literal('gap'),
    reason: z.enum(['trimmed', 'lost']),
    from: count,
    to: count,
    previous: hash,
  }),
  z.strictObject({
    type: z.literal('end'),
    last: count,
    hash,
    entries: count,
    signature: z.string().max(128).describe('Ed25519 by the node key inside peerId, base64'),
  }),
])
export type ExportLine = z.infer<typeof ExportLine>
export type ExportBegin = Extract<ExportLine, { readonly type: 'begin' }>
