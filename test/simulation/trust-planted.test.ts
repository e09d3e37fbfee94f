/** Bugs planted in the trust core, each of which the scenario must catch: a net that catches nothing proves nothing. */
import { describe, it } from 'node:test'
import { IssuerLog } from '../../protocols/trust/issuer-log.ts'
import { TrustReplica } from '../../protocols/trust/replica.ts'
import { caughtBy } from './scenarios.ts'
import type { Cores } from '../../protocols/simulation/index.ts'
import type { Change, TrustIn } from '../../protocols/trust/issuer-log.ts'
import type { Receipt, ReplicaOptions } from '../../protocols/trust/replica.ts'
import type { Key, TrustUpdate } from '../../protocols/trust/update.ts'

/** A core with other logs and, if wanted, another replica around them. */
function withLog(
  createLog: (issuer: Key) => IssuerLog,
  create = (options: ReplicaOptions): TrustReplica => new TrustReplica(options),
): Cores {
  return { trust: { createReplica: (options) => create({ ...options, createLog }) } }
}

/** Whatever came last counts, wherever its place is. */
class UnsequencedLog extends IssuerLog {
  readonly #said = new Map<Key, TrustUpdate>()

  hear(update: TrustUpdate): void {
    this.#said.set(update.statement.subject, update)
  }

  override trustIn(subject: Key): TrustIn | undefined {
    const statement = this.#said.get(subject)?.statement
    return statement?.kind === 'trust' ? statement : super.trustIn(subject)
  }
}

class UnsequencedReplica extends TrustReplica {
  override receive(bytes: Uint8Array, nowS: number): Receipt {
    const receipt = super.receive(bytes, nowS)
    const log = receipt.update === null ? undefined : this.log(receipt.update.issuer)
    if (receipt.update !== null && log instanceof UnsequencedLog) log.hear(receipt.update)
    return receipt
  }
}

/** A later word of trust lifts a revocation. */
class ForgivingLog extends IssuerLog {
  readonly #lifted = new Set<Key>()

  override apply(update: TrustUpdate, options: { readonly mayWait: boolean }): Change {
    const change = super.apply(update, options)
    if (change.applied === 'taken' && update.statement.kind === 'trust') this.#lifted.add(update.statement.subject)
    return change
  }

  override revocationOf(subject: Key): TrustUpdate | undefined {
    const revocation = super.revocationOf(subject)
    return revocation !== undefined && this.#lifted.has(subject) ? undefined : revocation
  }
}

/** The first of two histories counts; nobody keeps the proof. */
class GullibleLog extends IssuerLog {
  override apply(update: TrustUpdate, options: { readonly mayWait: boolean }): Change {
    const own = this.chain[update.sequence - 1]
    const isOther = own !== undefined && own.id !== update.id
    return isOther ? { applied: 'known', added: [], removed: [] } : super.apply(update, options)
  }
}

/** Takes the same update as news for ever. */
class RepeatingReplica extends TrustReplica {
  override receive(bytes: Uint8Array, nowS: number): Receipt {
    const receipt = super.receive(bytes, nowS)
    return receipt.code === 'NZ_TRUST_REPLAYED' ? { ...receipt, code: null } : receipt
  }
}

/** Reads everything back but the revocations. */
class ForgetfulReplica extends TrustReplica {
  override restore(bytes: Uint8Array): Change | null {
    const probe = new TrustReplica({ verify: () => true, isOfInterest: () => true })
    const update = probe.receive(bytes, 0).update
    return update?.statement.kind === 'revoke' && this.size > 0 ? null : super.restore(bytes)
  }
}

const planted: readonly { readonly bug: string; readonly cores: Cores; readonly caught: RegExp }[] = [
  {
    bug: 'no signature is checked',
    cores: { trust: { verify: () => () => true } },
    caught: /took a forgery|took what its issuer did not sign/,
  },
  {
    bug: 'signatures for another purpose count',
    cores: {
      trust: {
        verify: (real) => (purpose, message, signature, key) =>
          real(purpose, message, signature, key) || real('nzcore/invite/1' as typeof purpose, message, signature, key),
      },
    },
    caught: /took a forgery|took what its issuer did not sign/,
  },
  {
    bug: 'the sequence is not checked',
    cores: withLog(
      (issuer) => new UnsequencedLog(issuer),
      (options) => new UnsequencedReplica(options),
    ),
    caught: /by an old word/,
  },
  {
    bug: 'a replay is taken as news',
    cores: { trust: { createReplica: (options) => new RepeatingReplica(options) } },
    caught: /took a replay/,
  },
  {
    bug: 'a revocation is lifted by a later word',
    cores: withLog((issuer) => new ForgivingLog(issuer)),
    caught: /undid the revocation/,
  },
  {
    bug: 'revocations are lost over a restart',
    cores: { trust: { createReplica: (options) => new ForgetfulReplica(options) } },
    caught: /undid the revocation/,
  },
  {
    bug: 'forks go unseen',
    cores: withLog((issuer) => new GullibleLog(issuer)),
    caught: /versions of the log/,
  },
]

describe('a planted bug is caught:', () => {
  for (const { bug, cores, caught } of planted) {
    it(bug, (test) => {
      const { seed, violations } = caughtBy('fifty', cores, caught)
      test.diagnostic(`seed ${seed}: ${violations.find((violation) => caught.test(violation))}`)
    })
  }
})
