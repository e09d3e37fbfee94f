/** Why a handshake message is not taken or a handshake ends (NZ-HANDSHAKE-01 §9): one code and one number for each. */
import { defineErrors } from '../../kernel/index.ts'

const update = 'run the same version of nzcore on both machines: nzcore version'
const attacked = 'something on the path alters traffic, or the peer is broken: nzcore doctor'

const untrusted = { status: 502, exit: 'refusedByTrust', retryable: false } as const
const incompatible = { status: 502, exit: 'incompatible', retryable: false } as const
const busy = { status: 503, exit: 'unreachable', retryable: true } as const

export const handshakeErrors = defineErrors({
  NZ_HANDSHAKE_MALFORMED: { message: 'that is no handshake message', fix: [update, attacked], ...incompatible },
  NZ_HANDSHAKE_VERSION: {
    message: 'the peers have no version of the handshake in common',
    fix: [update],
    ...incompatible,
  },
  NZ_HANDSHAKE_UNAUTHENTIC: {
    message: 'a handshake message does not authenticate',
    fix: ['try again', attacked],
    status: 502,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_HANDSHAKE_DOWNGRADE: {
    message: 'somebody made the peers use an older version than both know',
    fix: [attacked],
    ...untrusted,
  },
  NZ_HANDSHAKE_PURPOSE: {
    message: 'the peer made the handshake for another purpose',
    fix: [update],
    ...untrusted,
  },
  NZ_HANDSHAKE_FORGED: {
    message: 'the peer does not prove the identity it claims',
    fix: ['nzcore block <peer>', attacked],
    ...untrusted,
  },
  NZ_HANDSHAKE_WRONG_PEER: {
    message: 'another peer than the expected one answered the handshake',
    fix: ['check the id of the peer: nzcore id (on its machine)', attacked],
    ...untrusted,
  },
  NZ_HANDSHAKE_MISBOUND: {
    message: 'the handshake was meant for another peer than this node',
    fix: [attacked],
    ...untrusted,
  },
  NZ_HANDSHAKE_FEATURE_MISSING: {
    message: 'the peer lacks a feature that this side asks for',
    fix: [update],
    ...incompatible,
  },
  NZ_HANDSHAKE_TICKET: {
    message: 'the ticket to resume a session is used up, over or unknown',
    fix: ['nothing has to be done: a whole handshake follows'],
    ...busy,
  },
  NZ_HANDSHAKE_KEY: {
    message: 'the responder was called by a key that it does not have',
    fix: ['nothing has to be done: a whole handshake follows'],
    ...busy,
  },
  NZ_HANDSHAKE_BUSY: {
    message: 'too many handshakes are under way',
    fix: ['wait a few seconds'],
    ...busy,
  },
  NZ_HANDSHAKE_COOKIE: {
    message: 'the cookie of a handshake is false or too old',
    fix: ['nothing has to be done: a new one was sent'],
    ...busy,
  },
  NZ_HANDSHAKE_NOT_ALLOWED: {
    message: 'the policy of the peer does not allow the channel',
    fix: ['ask its owner: nzcore trust set <peer> <level> (on the other machine)'],
    status: 403,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_HANDSHAKE_TIMEOUT: {
    message: 'the handshake did not end in time',
    fix: ['try again', 'nzcore ping <peer>'],
    status: 504,
    exit: 'timedOut',
    retryable: true,
  },
})

export type HandshakeCode = keyof typeof handshakeErrors

/** By their number in a REFUSE frame; 0 is never sent. */
export const handshakeCodes: readonly (HandshakeCode | null)[] = [
  null,
  'NZ_HANDSHAKE_MALFORMED',
  'NZ_HANDSHAKE_VERSION',
  'NZ_HANDSHAKE_UNAUTHENTIC',
  'NZ_HANDSHAKE_DOWNGRADE',
  'NZ_HANDSHAKE_PURPOSE',
  'NZ_HANDSHAKE_FORGED',
  'NZ_HANDSHAKE_WRONG_PEER',
  'NZ_HANDSHAKE_MISBOUND',
  'NZ_HANDSHAKE_FEATURE_MISSING',
  'NZ_HANDSHAKE_TICKET',
  'NZ_HANDSHAKE_KEY',
  'NZ_HANDSHAKE_BUSY',
  'NZ_HANDSHAKE_COOKIE',
  'NZ_HANDSHAKE_NOT_ALLOWED',
  'NZ_HANDSHAKE_TIMEOUT',
]
