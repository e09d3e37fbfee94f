/** Why a trust update is not taken as it is (NZ-TRUST-01 §8): one code and one number on the wire for each reason. */
import { defineErrors } from '../../kernel/index.ts'

const askIssuer = 'ask whoever issued it to state it again: nzcore trust set <peer> <level> (on the other machine)'

export const trustUpdateErrors = defineErrors({
  NZ_TRUST_MALFORMED: {
    message: 'that is not a trust update',
    fix: ['update nzcore on both machines: nzcore version'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_TRUST_VERSION: {
    message: 'the trust update is of a version this node does not know',
    fix: ['update nzcore on this machine'],
    status: 422,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_TRUST_PURPOSE: {
    message: 'the signature was made for something else than a trust update',
    fix: [askIssuer],
    status: 422,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_TRUST_FORGED: {
    message: 'the signature is not that of the issuer',
    fix: ['do not take updates from where this came from', askIssuer],
    status: 422,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_TRUST_REPLAYED: {
    message: 'the trust update is known already, or stands behind the fork of its log',
    fix: ['nothing has to be done'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_TRUST_GAP: {
    message: 'trust updates before this one are missing; it waits for them',
    fix: ['nothing has to be done: they come with the next reconciliation'],
    status: 409,
    exit: 'conflict',
    retryable: true,
  },
  NZ_TRUST_FORKED: {
    message: 'the issuer has signed two histories; both are kept as evidence',
    fix: ['ask the issuer for a new identity: no statement of this one counts any more'],
    status: 409,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_TRUST_EXPIRED: {
    message: 'the time of the trust update is over; it is kept without effect',
    fix: [askIssuer, 'check the clocks of both machines: date -u'],
    status: 410,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_TRUST_FULL: {
    message: 'there is no room for more trust updates',
    fix: ['the limits are in spec/NZ-TRUST-01.md'],
    status: 507,
    exit: 'failed',
    retryable: false,
  },
  NZ_TRUST_NOT_INTERESTED: {
    message: 'this node does not follow the issuer of the trust update',
    fix: ['nzcore trust set <peer> <level> --vouch 1 (a peer that vouches for the issuer)'],
    status: 403,
    exit: 'refusedByTrust',
    retryable: false,
  },
})

export type TrustCode = keyof typeof trustUpdateErrors

/** By their number on the wire; 0 is `null`: taken. */
export const trustCodes: readonly (TrustCode | null)[] = [
  null,
  'NZ_TRUST_MALFORMED',
  'NZ_TRUST_VERSION',
  'NZ_TRUST_PURPOSE',
  'NZ_TRUST_FORGED',
  'NZ_TRUST_REPLAYED',
  'NZ_TRUST_GAP',
  'NZ_TRUST_FORKED',
  'NZ_TRUST_EXPIRED',
  'NZ_TRUST_FULL',
  'NZ_TRUST_NOT_INTERESTED',
]
