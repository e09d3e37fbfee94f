/**
 * A trust log of many issuers: read back at a start, verified when it comes from a peer, and compared with a peer's that
 * differs a little. In this process, without a network: what is counted is the core's work and the bytes it would send.
 */
import { answerReconcile } from '../protocols/trust/answer.ts'
import { identityNamed } from '../protocols/simulation/identities.ts'
import { verifyFor } from '../protocols/identity/signature.ts'
import { decodeAnswer, decodeRequest, encodeAnswer, encodeRequest } from '../protocols/trust/reconcile-messages.ts'
import { Reconciliation } from '../protocols/trust/reconciliation.ts'
import { TrustReplica } from '../protocols/trust/replica.ts'
import { createUpdate, NO_PREVIOUS } from '../protocols/trust/update.ts'
import { SMALL_ROUNDS } from './scenario.ts'
import { summaryOf } from './statistics.ts'
import type { Sign, TrustUpdate } from '../protocols/trust/update.ts'
import type { Figure, Scenario } from './scenario.ts'

const SIZES = { small: { issuers: 100, each: 20 }, full: { issuers: 1_000, each: 100 } } as const
/** Updates that one side lacks, each of another issuer. */
const DIFFERENCES = { small: 5, full: 100 } as const
const FULL_ROUNDS_OF_TRUST = 7

export const trust: Scenario = {
  name: 'trust',
  async run({ size, signal }) {
    const { issuers, each } = SIZES[size]
    const logs = Array.from({ length: issuers }, (_, at) => logOf(at, each))
    const all = logs.flat()
    const rounds = size === 'full' ? FULL_ROUNDS_OF_TRUST : SMALL_ROUNDS
    const [loads, verifications, shares]: [number[], number[], number[]] = [[], [], []]
    for (let round = 0; round < rounds; round++) {
      signal.throwIfAborted()
      const startedAt = performance.now()
      const whole = replicaOf(all)
      loads.push(all.length / ((performance.now() - startedAt) / 1_000))
      const verifying = new TrustReplica({ verify: verifyFor, isOfInterest: () => true })
      const verifyingAt = performance.now()
      for (const { bytes } of all) if (verifying.receive(bytes, 0).code !== null) throw new Error('not taken')
      verifications.push(all.length / ((performance.now() - verifyingAt) / 1_000))
      const less = replicaOf(logs.flatMap((log, at) => (at < DIFFERENCES[size] ? log.slice(0, -1) : log)))
      shares.push((reconcile(less, whole) / all.reduce((sum, { bytes }) => sum + bytes.length, 0)) * 100)
    }
    const figure = (name: string, unit: Figure['unit'], samples: readonly number[]): Figure => ({
      name,
      ...summaryOf(samples),
      unit,
      ratio: null,
    })
    return {
      scenario: 'trust',
      title: `${all.length} trust updates of ${issuers} issuers; a peer that lacks ${DIFFERENCES[size]} of them`,
      rounds,
      figures: [
        figure('read back', 'records/s', loads),
        figure('verified and taken', 'records/s', verifications),
        figure('moved to be equal, of all bytes', '%', shares),
      ],
    }
  },
}

function logOf(at: number, length: number): readonly TrustUpdate[] {
  const identity = identityNamed(1, `issuer ${at}`)
  const issuer = identity.key
  const sign: Sign = (purpose, message) => identity.sign(purpose, message)
  const log: TrustUpdate[] = []
  for (let sequence = 1; sequence <= length; sequence++) {
    const subject = Buffer.from(`subject ${sequence}`.padEnd(32)).toString('hex')
    const statement = { kind: 'trust', subject, level: 2, expiresS: 0, vouchDepth: 0 } as const
    const previous = log.at(-1)?.id ?? NO_PREVIOUS
    log.push(createUpdate({ issuer, sequence, previous, issuedS: 1, statement }, sign))
  }
  return log
}

function replicaOf(updates: readonly TrustUpdate[]): TrustReplica {
  const replica = new TrustReplica({ verify: verifyFor, isOfInterest: () => true })
  for (const { bytes } of updates) replica.restore(bytes)
  return replica
}

/** @returns the bytes of all requests and answers */
function reconcile(asker: TrustReplica, answerer: TrustReplica): number {
  const reconciliation = new Reconciliation({
    replica: asker,
    receive: (update) => asker.receive(update, 0),
    isOfInterest: () => true,
    isRefused: () => false,
  })
  let bytes = 0
  for (let request = reconciliation.next(); request !== null; request = reconciliation.next()) {
    const asked = encodeRequest(request)
    const read = decodeRequest(asked)
    if (read === null) throw new Error('not read')
    const answered = encodeAnswer(answerReconcile(answerer, read, (update) => answerer.receive(update, 0)))
    const answer = decodeAnswer(answered)
    if (answer === null || !reconciliation.accept(answer)) throw new Error('not accepted')
    bytes += asked.length + answered.length
  }
  if (asker.root() !== answerer.root()) throw new Error('not equal')
  return bytes
}
