/** Limits of transfers that an operator may change. */
import { z } from 'zod'

const GIB = 2 ** 30

export const transferSettings = z.strictObject({
  maxIncoming: z.int().min(1).max(256).default(16).describe('transfers received at once, from all peers'),
  maxIncomingPerPeer: z.int().min(1).max(64).default(4).describe('transfers received at once from one peer'),
  maxOutgoing: z.int().min(1).max(256).default(16).describe('transfers sent at once'),
  maxOffersPerMinute: z.int().min(1).max(6_000).default(120).describe('offers taken from one peer in a minute'),
  maxTransferBytes: z
    .int()
    .min(1)
    .default(1_024 * GIB)
    .describe('largest transfer that is received, in bytes'),
  maxPartials: z.int().min(1).max(1_000).default(64).describe('unfinished files kept for going on later'),
  maxPartialBytes: z
    .int()
    .min(0)
    .default(64 * GIB)
    .describe('bytes of unfinished files kept while nobody sends them'),
  partialMaxAgeMs: z
    .int()
    .min(60_000)
    .default(7 * 86_400_000)
    .describe('age at which an unfinished file is removed, in milliseconds since its last byte'),
  historyLimit: z.int().min(1).max(1_000).default(256).describe('ended transfers that are remembered'),
})

export type TransferSettings = z.infer<typeof transferSettings>
