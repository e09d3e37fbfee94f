/** What others may know of `trust`: how far this node trusts peers, why, and what that allows them. spec/NZ-TRUST-01.md. */
import { z } from 'zod'
import { defineErrors, defineEvents, defineService } from '../../kernel/index.ts'
import { trustLevels } from '../../protocols/trust/update.ts'

export { trustUpdateErrors } from '../../protocols/trust/errors.ts'
export { trustLevels }

export type LevelName = (typeof trustLevels)[number]

/** What a peer may do, by the level this node's policy asks for. */
export type TrustAct = 'connect' | 'replicate' | 'send' | 'route' | 'administer'

/** A statement of this node or of another issuer, as it stands now. */
export interface TrustStatement {
  /** Peer ids. */
  readonly issuer: string
  readonly subject: string
  readonly kind: 'trust' | 'revoke'
  /** UNKNOWN for a revocation. */
  readonly level: LevelName
  /** How far the subject may vouch for others; 0: not at all. */
  readonly vouchDepth: number
  /** `null`: never. */
  readonly expiresAtMs: number | null
  readonly isExpired: boolean
}

export interface TrustStep {
  readonly issuer: string
  readonly subject: string
  readonly level: LevelName
  readonly vouchDepth: number
  readonly expiresAtMs: number | null
  /** Of 1,000, along the path up to here. */
  readonly weight: number
}

export interface TrustExplanation {
  readonly peerId: string
  readonly level: LevelName
  /** Of 1,000. */
  readonly weight: number
  readonly because: 'self' | 'own' | 'path' | 'revoked' | 'none'
  /** The peer signed two histories. */
  readonly isForked: boolean
  readonly revokedBy: readonly string[]
  /** Best first, at most eight. */
  readonly paths: readonly (readonly TrustStep[])[]
  /** Not all statements could be looked at. */
  readonly isCut: boolean
  readonly mayDo: readonly TrustAct[]
}

export interface TrustStatus {
  /** Equal for nodes that hold the same updates. */
  readonly root: string
  readonly issuers: number
  readonly updates: number
  /** Peer ids of issuers who signed two histories. */
  readonly forked: readonly string[]
  /** `unsure`: restored from a backup; this node signs nothing until a peer has told what it said since. */
  readonly ownLog: 'ready' | 'unsure' | 'forked'
  /** Updates and requests of peers that were refused since the start, by code (NZ-TRUST-01 §8). */
  readonly refused: Readonly<Record<string, number>>
}

export interface TrustUpdateView {
  readonly issuer: string
  readonly sequence: number
  readonly id: string
  /** By the issuer's clock. */
  readonly issuedAtMs: number
  readonly subject: string
  readonly kind: 'trust' | 'withdraw' | 'revoke'
  readonly level: LevelName | null
  readonly vouchDepth: number
  readonly expiresAtMs: number | null
  /** Whether it is part of the proof of a fork. */
  readonly isEvidence: boolean
}

export interface Reconciled {
  readonly received: number
  readonly sent: number
  readonly isEqual: boolean
}

export interface TrustService {
  /** Whether this node's policy lets the peer do `act`. A revoked peer may do nothing. */
  may(peerId: string, act: TrustAct): boolean
  explain(peerId: string): TrustExplanation
  status(): TrustStatus
  /** This node's own standing statements and revocations. */
  statements(): readonly TrustStatement[]
  /** The updates kept of an issuer, oldest first, evidence last. */
  updates(issuer: string, options?: { readonly after?: number; readonly limit?: number }): readonly TrustUpdateView[]
  /** Says how far this node trusts a peer. Durable when it resolves. @throws NZ_TRUST_SELF, NZ_TRUST_REVOKED, NZ_TRUST_OWN_FORK */
  set(
    peerId: string,
    options: { readonly level: LevelName; readonly vouchDepth?: number; readonly expiresAtMs?: number },
  ): Promise<TrustExplanation>
  /** Takes back what was said of a peer. @throws NZ_TRUST_NOT_STATED */
  withdraw(peerId: string): Promise<TrustExplanation>
  /** For ever; the own peer id revokes this identity. @throws NZ_TRUST_OWN_FORK */
  revoke(peerId: string, options: { readonly reason: number }): Promise<TrustExplanation>
  /** Signs again after a restore though no peer was heard. What it said since the backup and forgot makes a fork. */
  resume(): Promise<TrustStatus>
  /** Compares with a connected peer and exchanges what either lacks. @throws NZ_TRUST_NOT_ALLOWED, NZ_NETWORK_… */
  reconcile(peerId: string, options: { readonly signal: AbortSignal }): Promise<Reconciled>
}

export const TrustService = defineService<TrustService>('trust')

export const trustEvents = defineEvents('trust', {
  changed: z.strictObject({
    issuer: z.string(),
    subject: z.string(),
    kind: z.enum(['trust', 'withdraw', 'revoke']),
    level: z.enum(trustLevels).nullable(),
  }),
  forked: z.strictObject({ issuer: z.string() }),
  refused: z.strictObject({ peerId: z.string(), code: z.string(), count: z.number().int() }),
  reconciled: z.strictObject({ peerId: z.string(), received: z.number().int(), sent: z.number().int() }),
})

export const trustErrors = defineErrors({
  NZ_TRUST_SELF: {
    message: 'a node cannot state how far it trusts itself',
    fix: ['name another peer: nzcore contacts'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_TRUST_REVOKED: {
    message: 'this node has revoked the peer, and that is final',
    fix: ['ask the peer for a new identity and an invite: nzcore invite'],
    status: 409,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_TRUST_NOT_STATED: {
    message: 'this node has said nothing about that peer',
    fix: ['nzcore trust'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
  NZ_TRUST_OWN_FORK: {
    message: 'this identity has signed two histories: nobody counts what it says any more',
    fix: [
      'make a new identity and join your contacts again; an identity runs on one machine only',
      'nzcore trust log (shows the proof)',
    ],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_TRUST_RESTORED: {
    message: 'this node was restored from a backup and has not heard yet what it stated after it',
    fix: ['nzcore connect <peer> (a contact tells it)', 'nzcore trust resume (when no contact is left to ask)'],
    status: 409,
    exit: 'conflict',
    retryable: true,
  },
  NZ_TRUST_NOT_ALLOWED: {
    message: 'the level of trust in the peer does not allow this',
    fix: ['nzcore trust explain <peer>', 'nzcore trust set <peer> <level>'],
    status: 403,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_TRUST_BUSY: {
    message: 'the peer asks for more than this node answers in that time',
    fix: ['wait ten seconds'],
    status: 429,
    exit: 'failed',
    retryable: true,
  },
  NZ_TRUST_PROTOCOL: {
    message: 'the peer did not keep to the protocol of trust replication',
    fix: ['run the same version of nzcore on both machines: nzcore version'],
    status: 502,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_TRUST_PEER_INVALID: {
    message: 'that is no peer one can speak of',
    fix: ['copy the id again: nzcore id (on the other machine)'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
})
