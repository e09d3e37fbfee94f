/** Why a record is not taken (NZ-DISCOVERY-01 §7): one code and one number on the wire for each reason. */
import { defineErrors } from '../../kernel/index.ts'

export const discoveryRecordErrors = defineErrors({
  NZ_DISCOVERY_MALFORMED: {
    message: 'that is not a discovery record',
    fix: ['update nzcore on both machines: nzcore version'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_DISCOVERY_TOO_LARGE: {
    message: 'the discovery record is larger than it may be',
    fix: ['keep large values elsewhere and announce where: the limits are in spec/NZ-DISCOVERY-01.md'],
    status: 413,
    exit: 'usage',
    retryable: false,
  },
  NZ_DISCOVERY_VERSION: {
    message: 'the discovery record is of a version this node does not know',
    fix: ['update nzcore on this machine'],
    status: 422,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_DISCOVERY_FORGED: {
    message: 'the signature of the discovery record is not that of its signer',
    fix: ['nothing has to be done: the record was not taken'],
    status: 422,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_DISCOVERY_EXPIRED: {
    message: 'the time of the discovery record is over, or has not come',
    fix: ['check the clocks of both machines: date -u'],
    status: 410,
    exit: 'failed',
    retryable: false,
  },
  NZ_DISCOVERY_STALE: {
    message: 'a newer record of that signer is known',
    fix: ['nothing has to be done'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_DISCOVERY_WRONG_KEY: {
    message: 'the record does not belong under that key',
    fix: ['update nzcore on both machines: nzcore version'],
    status: 422,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_DISCOVERY_FULL: {
    message: 'there is no room for more records',
    fix: ['withdraw what is not needed: nzcore service list', 'the limits are in spec/NZ-DISCOVERY-01.md'],
    status: 507,
    exit: 'failed',
    retryable: true,
  },
})

export type RecordCode = keyof typeof discoveryRecordErrors

/** By their number on the wire; 0 is `null`: taken. */
export const recordCodes: readonly (RecordCode | null)[] = [
  null,
  'NZ_DISCOVERY_MALFORMED',
  'NZ_DISCOVERY_TOO_LARGE',
  'NZ_DISCOVERY_VERSION',
  'NZ_DISCOVERY_FORGED',
  'NZ_DISCOVERY_EXPIRED',
  'NZ_DISCOVERY_STALE',
  'NZ_DISCOVERY_WRONG_KEY',
  'NZ_DISCOVERY_FULL',
]
