/** The service that others use: statements of this node, explanations, the policy. */
import { allows, trustActs } from './policy.ts'
import { keyOfPeerId, peerIdOfKey, requireKey } from './peer-key.ts'
import { changeOf } from './replication.ts'
import { trustErrors, trustEvents, trustLevels } from './service.ts'
import type { EventBus } from '../../kernel/index.ts'
import type { EffectiveTrust, Step } from '../../protocols/trust/effective.ts'
import type { Key, Statement, TrustLevel, TrustUpdate } from '../../protocols/trust/update.ts'
import type { TrustLedger } from './ledger.ts'
import type { Policy } from './policy.ts'
import type { Replication } from './replication.ts'
import type { LevelName, TrustExplanation, TrustService, TrustStatement, TrustStatus, TrustStep } from './service.ts'
import type { TrustUpdateView } from './service.ts'

const DEFAULT_LIMIT = 1_000

export interface TrustParts {
  readonly ledger: TrustLedger
  readonly replication: Pick<Replication, 'announce' | 'reconcile' | 'refused'>
  readonly events: EventBus
  readonly policy: Policy
  /** The doubt about this node's own log is over: to be remembered. */
  readonly ownLogHeard: () => Promise<void>
}

export function createTrust({ ledger, replication, events, policy, ownLogHeard }: TrustParts): TrustService {
  const say = async (statement: Statement): Promise<TrustExplanation> => {
    const update = await ledger.issue(statement)
    events.emit(trustEvents.changed, changeOf(update))
    replication.announce(update)
    return explain(ledger, policy, statement.subject)
  }
  const status = (): TrustStatus => {
    ledger.requireReadable()
    const { replica } = ledger
    const forked = replica.issuers.filter((issuer) => replica.log(issuer)?.isForked === true)
    return {
      root: replica.root(),
      issuers: replica.issuers.length,
      updates: replica.size,
      forked: forked.map(peerIdOfKey),
      ownLog: ledger.standpoint.ownLog,
      refused: replication.refused(),
    }
  }
  const ownWord = (subject: Key): boolean => ledger.replica.log(ledger.self)?.trustIn(subject) !== undefined

  return {
    may: (peerId, act) => mayDo(ledger, policy, peerId, act),
    explain: (peerId) => explain(ledger, policy, requireKey(peerId)),
    status,
    async resume() {
      ledger.requireReadable()
      if (ledger.standpoint.ownLog === 'unsure') {
        ledger.standpoint.trustOwnLog()
        await ownLogHeard()
      }
      return status()
    },
    statements: () => statementsOf(ledger),
    updates: (issuer, options) => updatesOf(ledger, requireKey(issuer), options),
    async set(peerId, { level, vouchDepth = 0, expiresAtMs }) {
      const subject = requireKey(peerId)
      if (subject === ledger.self) throw trustErrors.NZ_TRUST_SELF()
      if (ledger.replica.log(ledger.self)?.revocationOf(subject) !== undefined) {
        throw trustErrors.NZ_TRUST_REVOKED({ data: { peerId } })
      }
      const expiresS = expiresAtMs === undefined ? 0 : Math.floor(expiresAtMs / 1_000)
      return await say({
        kind: 'trust',
        subject,
        level: trustLevels.indexOf(level) as TrustLevel,
        expiresS,
        vouchDepth,
      })
    },
    async withdraw(peerId) {
      const subject = requireKey(peerId)
      if (!ownWord(subject)) throw trustErrors.NZ_TRUST_NOT_STATED({ data: { peerId } })
      return await say({ kind: 'withdraw', subject })
    },
    async revoke(peerId, { reason }) {
      const subject = requireKey(peerId)
      const isRevoked = ledger.replica.log(ledger.self)?.revocationOf(subject) !== undefined
      return isRevoked ? explain(ledger, policy, subject) : await say({ kind: 'revoke', subject, reason })
    },
    reconcile: async (peerId, options) => await replication.reconcile(peerId, options),
  }
}

/** A peer without an Ed25519 id cannot be spoken of: it is a stranger. */
export function mayDo(
  ledger: TrustLedger,
  policy: Policy,
  peerId: string,
  act: Parameters<TrustService['may']>[1],
): boolean {
  // Who was revoked is not known then.
  if (ledger.trouble !== null) return false
  const key = keyOfPeerId(peerId)
  return key === null ? policy[act] === 'UNKNOWN' : allows(policy, ledger.effective(key), act)
}

function explain(ledger: TrustLedger, policy: Policy, peer: Key): TrustExplanation {
  ledger.requireReadable()
  const effective: EffectiveTrust = ledger.effective(peer)
  return {
    peerId: peerIdOfKey(peer),
    level: levelName(effective.level),
    weight: effective.weight,
    because: effective.because,
    isForked: effective.isForked,
    revokedBy: effective.revokedBy.map(peerIdOfKey),
    paths: effective.paths.map((path) => path.map(stepOf)),
    isCut: effective.isCut,
    mayDo: trustActs.filter((act) => allows(policy, effective, act)),
  }
}

function statementsOf(ledger: TrustLedger): readonly TrustStatement[] {
  ledger.requireReadable()
  const log = ledger.replica.log(ledger.self)
  if (log === undefined) return []
  const issuer = peerIdOfKey(ledger.self)
  const revoked = log.revocations().map(({ statement: { subject } }): TrustStatement => ({
    issuer,
    subject: peerIdOfKey(subject),
    kind: 'revoke',
    level: 'UNKNOWN',
    vouchDepth: 0,
    expiresAtMs: null,
    isExpired: false,
  }))
  const trusted = [...log.subjects].flatMap((subject): TrustStatement[] => {
    const said = log.trustIn(subject)
    if (said === undefined) return []
    const { level, vouchDepth, expiresS } = said
    const isExpired = expiresS !== 0 && expiresS <= ledger.nowS()
    const expiresAtMs = msOf(expiresS)
    return [
      {
        issuer,
        subject: peerIdOfKey(subject),
        kind: 'trust',
        level: levelName(level),
        vouchDepth,
        expiresAtMs,
        isExpired,
      },
    ]
  })
  return [...trusted, ...revoked]
}

function updatesOf(
  ledger: TrustLedger,
  issuer: Key,
  { after = 0, limit = DEFAULT_LIMIT }: { readonly after?: number; readonly limit?: number } = {},
): readonly TrustUpdateView[] {
  ledger.requireReadable()
  const log = ledger.replica.log(issuer)
  if (log === undefined) return []
  const evidence = new Set(log.evidence)
  const loose = log.loose().filter(({ sequence }) => sequence > after)
  return [...log.chain.slice(after, after + limit), ...loose]
    .slice(0, limit)
    .map((update) => viewOf(update, evidence.has(update)))
}

function viewOf({ issuer, sequence, id, issuedS, statement }: TrustUpdate, isEvidence: boolean): TrustUpdateView {
  const isTrust = statement.kind === 'trust'
  return {
    issuer: peerIdOfKey(issuer),
    sequence,
    id,
    issuedAtMs: issuedS * 1_000,
    subject: peerIdOfKey(statement.subject),
    kind: statement.kind,
    level: isTrust ? levelName(statement.level) : null,
    vouchDepth: isTrust ? statement.vouchDepth : 0,
    expiresAtMs: isTrust ? msOf(statement.expiresS) : null,
    isEvidence,
  }
}

function stepOf({ issuer, subject, level, vouchDepth, expiresS, weight }: Step): TrustStep {
  return {
    issuer: peerIdOfKey(issuer),
    subject: peerIdOfKey(subject),
    level: levelName(level),
    vouchDepth,
    expiresAtMs: msOf(expiresS),
    weight,
  }
}

function levelName(level: TrustLevel): LevelName {
  return trustLevels[level]
}

function msOf(expiresS: number): number | null {
  return expiresS === 0 ? null : expiresS * 1_000
}
