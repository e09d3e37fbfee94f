/**
 * A trust log of many issuers: read back at a start, from memory and from the encrypted store; verified when it comes from a
 * peer; and compared with a peer's that differs a little. In this process, on one thread, without a network: what is counted
 * is the work and the bytes that would be sent.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { UpdateStore } from '../modules/trust/update-store.ts'
import { answerReconcile } from '../protocols/trust/answer.ts'
import { identityNamed } from '../protocols/simulation/identities.ts'
import { verifyFor } from '../protocols/identity/signature.ts'
import { decodeAnswer, decodeRequest, encodeAnswer, encodeRequest } from '../protocols/trust/reconcile-messages.ts'
import { Reconciliation } from '../protocols/trust/reconciliation.ts'
import { TrustReplica } from '../protocols/trust/replica.ts'
import { Standpoint } from '../protocols/trust/standpoint.ts'
import { createUpdate, NO_PREVIOUS } from '../protocols/trust/update.ts'
import { SMALL_ROUNDS } from './scenario.ts'
import { EncryptedBenchStore } from './stores.ts'
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
    const samples = {
      loads: [] as number[],
      reads: [] as number[],
      verifications: [] as number[],
      shares: [] as number[],
    }
    await using kept = await keep(all)
    // The first round is not counted: it finds no compiled code.
    for (let round = -1; round < rounds; round++) {
      signal.throwIfAborted()
      const { loads, reads, verifications, shares } = round < 0 ? throwaway() : samples
      const startedAt = performance.now()
      const whole = replicaOf(all)
      loads.push(rateSince(startedAt, all.length))
      reads.push(await kept.read())
      const verifying = new TrustReplica({ verify: verifyFor, isOfInterest: () => true })
      const verifyingAt = performance.now()
      for (const { bytes } of all) if (verifying.receive(bytes, 0).code !== null) throw new Error('not taken')
      verifications.push(rateSince(verifyingAt, all.length))
      const less = replicaOf(logs.flatMap((log, at) => (at < DIFFERENCES[size] ? log.slice(0, -1) : log)))
      shares.push((reconcile(less, whole) / all.reduce((sum, { bytes }) => sum + bytes.length, 0)) * 100)
    }
    const figure = (name: string, unit: Figure['unit'], rates: readonly number[]): Figure => ({
      name,
      ...summaryOf(rates),
      unit,
      ratio: null,
    })
    return {
      scenario: 'trust',
      title: `${all.length} trust updates of ${issuers} issuers; a peer that lacks ${DIFFERENCES[size]} of them`,
      rounds,
      figures: [
        figure('read back', 'records/s', samples.loads),
        figure('opened and read back from the store', 'records/s', samples.reads),
        figure('verified and taken', 'records/s', samples.verifications),
        figure('moved to be equal, of all bytes', '%', samples.shares),
      ],
    }
  },
}

const throwaway = (): Record<'loads' | 'reads' | 'verifications' | 'shares', number[]> => ({
  loads: [],
  reads: [],
  verifications: [],
  shares: [],
})

function rateSince(startedAt: number, count: number): number {
  return count / ((performance.now() - startedAt) / 1_000)
}

interface Kept extends AsyncDisposable {
  /** Opens the store and reads everything, as a node does when it starts. @returns updates a second */
  read(): Promise<number>
}

/** The updates in an encrypted store on a disk, each verified before: nothing is verified again. */
async function keep(all: readonly TrustUpdate[]): Promise<Kept> {
  const folder = await mkdtemp(join(tmpdir(), 'nz-bench-trust-'))
  const store = new EncryptedBenchStore(join(folder, 'state'))
  const updates = (): UpdateStore => new UpdateStore(store.namespace('trust/updates'))
  const verify = (): never => {
    throw new Error('what is in the store was verified before')
  }
  await store.open()
  await updates().write([{ added: all, removed: [] }])
  await store.close()
  return {
    async read() {
      const standpoint = new Standpoint({ self: all[0]?.issuer ?? '', verify, nowS: () => 1 })
      const startedAt = performance.now()
      await store.open()
      await updates().load(standpoint, { signal: new AbortController().signal })
      const rate = rateSince(startedAt, all.length)
      await store.close()
      if (standpoint.replica.size !== all.length) throw new Error('not all was read')
      return rate
    },
    async [Symbol.asyncDispose]() {
      await rm(folder, { recursive: true, force: true })
    },
  }
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
