/** Why an invite or a join is refused (NZ-INVITE-01 §7): one code for each reason. */
import { defineErrors } from '../../kernel/index.ts'

const askForAnother = 'ask for a new one: nzcore invite (on the other machine)'

export const inviteErrors = defineErrors({
  NZ_INVITE_MALFORMED: {
    message: 'that is not an invite',
    fix: ['copy the whole text from nzi1 on, or pass it on standard input: nzcore join -'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_INVITE_ALTERED: {
    message: 'the invite was altered: its checksum or signature is wrong',
    fix: ['copy the whole text again', askForAnother],
    status: 422,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_INVITE_VERSION: {
    message: 'the invite is of a version this node does not know',
    fix: ['update nzcore on this machine'],
    status: 422,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_INVITE_EXPIRED: {
    message: 'the invite has expired',
    fix: [askForAnother, 'check the clocks of both machines: date -u'],
    status: 410,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_INVITE_USED: {
    message: 'the invite has been used already',
    fix: [askForAnother, 'if you did not use it, someone else did: nzcore contacts (on the other machine)'],
    status: 409,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_INVITE_REVOKED: {
    message: 'the invite was revoked by who made it',
    fix: [askForAnother],
    status: 410,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_INVITE_UNKNOWN: {
    message: 'no such invite',
    fix: ['nzcore invite list', askForAnother],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
  NZ_INVITE_SELF: {
    message: 'the invite is from this node itself',
    fix: ['run nzcore join on the other machine'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_INVITE_TOO_MANY: {
    message: 'too many invites are open',
    fix: ['nzcore invite list', 'nzcore invite revoke <invite>'],
    status: 429,
    exit: 'conflict',
    retryable: true,
  },
  NZ_INVITE_ATTEMPTS: {
    message: 'too many attempts to join',
    fix: ['wait ten minutes', askForAnother],
    status: 429,
    exit: 'refusedByTrust',
    retryable: true,
  },
  NZ_INVITE_DAMAGED: {
    message: 'the list of invites cannot be read',
    fix: ['remove data.file from the state folder: its invites are void then', 'nzcore doctor'],
    status: 500,
    exit: 'damaged',
    retryable: false,
  },
  NZ_JOIN_DECLINED: {
    message: 'the other side declined',
    fix: ['compare the words again with the other person', askForAnother],
    status: 403,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_JOIN_CANCELLED: {
    message: 'the join was declined here',
    fix: [askForAnother],
    status: 409,
    exit: 'failed',
    retryable: false,
  },
  NZ_JOIN_TIMEOUT: {
    message: 'the join was not completed in time',
    fix: ['keep both screens open and answer on both', askForAnother],
    status: 504,
    exit: 'timedOut',
    retryable: true,
  },
  NZ_JOIN_BUSY: {
    message: 'too many joins are in progress',
    fix: ['try again in a minute'],
    status: 503,
    exit: 'conflict',
    retryable: true,
  },
  NZ_JOIN_PROTOCOL: {
    message: 'the other side did not keep to the join protocol',
    fix: ['run the same version of nzcore on both machines: nzcore version'],
    status: 502,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_JOIN_LOST: {
    message: 'the connection to the other side was lost before both had accepted',
    fix: ['run the same nzcore join again'],
    status: 502,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_JOIN_UNKNOWN: {
    message: 'no such join is in progress',
    fix: ['nzcore invite list'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
})

export type JoinCode = keyof typeof inviteErrors
