/** Handlers of the group `trust`: peers by the names that people use. */
import { isNzError } from '../../../kernel/index.ts'
import { peerIdOf, publicKeyOfId, publicKeyOfPeerId } from '../../../protocols/identity/id.ts'
import type { Clock } from '../../../kernel/index.ts'
import type { trustContract } from '../../../protocols/ipc/contract/trust.ts'
import type { Handlers, ResultOf } from '../../../protocols/ipc/endpoint.ts'
import type { ContactsService } from '../../contacts/service.ts'
import type { IdentityService } from '../../identity/service.ts'
import type { TrustExplanation, TrustService } from '../../trust/service.ts'

type TrustView = ResultOf<(typeof trustContract)['trustExplain']>['trust']

/** By their numbers in NZ-TRUST-01 §2.3. */
const REASONS = { none: 0, lost: 1, replaced: 2, misbehaved: 3 } as const

export interface TrustHandlersServices {
  readonly trust: TrustService
  readonly contacts: ContactsService
  readonly identity: Pick<IdentityService, 'self'>
  readonly clock: Clock
}

export function trustHandlers({
  trust,
  contacts,
  identity,
  clock,
}: TrustHandlersServices): Handlers<typeof trustContract> {
  const named = (peerId: string): { peerId: string; name: string | null } => ({
    peerId,
    name: peerId === identity.self.peerId ? 'this node' : (contacts.get(peerId)?.name ?? null),
  })
  const peerOf = (reference: string): string => {
    try {
      return contacts.resolve(reference).peerId
    } catch (error) {
      // Trust is about strangers, too: whole ids are enough.
      const stranger = strangerOf(reference)
      if (stranger !== null && isNzError(error) && error.code === 'NZ_CONTACTS_NOT_FOUND') return stranger
      throw error
    }
  }
  const view = ({ peerId, revokedBy, paths, mayDo, ...rest }: TrustExplanation): { trust: TrustView } => ({
    trust: {
      ...rest,
      peer: named(peerId),
      revokedBy: revokedBy.map(named),
      paths: paths.map((path) =>
        path.map((step) => ({ ...step, issuer: named(step.issuer), subject: named(step.subject) })),
      ),
      mayDo: [...mayDo],
    },
  })
  return {
    trustList: async () => ({
      statements: trust.statements().map(({ subject, kind, level, vouchDepth, expiresAtMs, isExpired }) => ({
        subject: named(subject),
        kind,
        level,
        vouchDepth,
        expiresAtMs,
        isExpired,
      })),
    }),
    async trustStatus() {
      const { forked, refused, ...status } = trust.status()
      return { trust: { ...status, forked: forked.map(named), refused: { ...refused } } }
    },
    async trustResume() {
      const { ownLog } = await trust.resume()
      return { ownLog }
    },
    trustExplain: async ({ peer }) => view(trust.explain(peerOf(peer))),
    async trustSet({ peer, level, vouchDepth, expiresInMs }) {
      const expires = expiresInMs === undefined ? {} : { expiresAtMs: clock.nowMs() + expiresInMs }
      return view(await trust.set(peerOf(peer), { level, vouchDepth, ...expires }))
    },
    trustWithdraw: async ({ peer }) => view(await trust.withdraw(peerOf(peer))),
    trustRevoke: async ({ peer, reason }) => view(await trust.revoke(peerOf(peer), { reason: REASONS[reason] })),
    async trustLog({ peer, after, limit }) {
      const issuer = peer === undefined ? identity.self.peerId : peerOf(peer)
      const updates = trust.updates(issuer, { after, limit })
      return {
        updates: updates.map((update) => ({ ...update, issuer: named(update.issuer), subject: named(update.subject) })),
      }
    },
    trustSync: async ({ peer }, { signal }) => await trust.reconcile(peerOf(peer), { signal }),
  }
}

/** The peer id of a whole peer id or `nz1…` id. */
function strangerOf(reference: string): string | null {
  if (publicKeyOfPeerId(reference) !== null) return reference
  const key = publicKeyOfId(reference)
  return key === null ? null : peerIdOf(key)
}
