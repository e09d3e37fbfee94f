/** Trust updates without real signatures: for what is decided after the signature was verified. */
import { hash } from 'node:crypto'
import { createUpdate, NO_PREVIOUS } from '../../protocols/trust/update.ts'
import type { TrustService } from '../../modules/trust/service.ts'
import type { Key, Statement, TrustLevel, TrustUpdate } from '../../protocols/trust/update.ts'

/** The same key for the same name. */
export function keyNamed(name: string): Key {
  return hash('sha256', name, 'hex')
}

export function trusting(subject: Key, level: TrustLevel, { expiresS = 0, vouchDepth = 0 } = {}): Statement {
  return { kind: 'trust', subject, level, expiresS, vouchDepth }
}

/** An update that verifies where `verify` is always true. */
export function unsignedUpdate(issuer: Key, sequence: number, previous: Key, statement: Statement): TrustUpdate {
  return createUpdate({ issuer, sequence, previous, issuedS: 1_700_000_000, statement }, () => new Uint8Array(64))
}

/** `length` updates that follow each other, from the beginning or after another update. */
export function chainOf(
  issuer: Key,
  length: number,
  say: (at: number) => Statement,
  { after = 0, previous = NO_PREVIOUS } = {},
): readonly TrustUpdate[] {
  const chain: TrustUpdate[] = []
  for (let at = 0; at < length; at++) {
    chain.push(unsignedUpdate(issuer, after + at + 1, chain.at(-1)?.id ?? previous, say(at)))
  }
  return chain
}

const absent = (): never => {
  throw new Error('only the policy is asked here')
}

/** The service of a node whose policy allows everything to everybody. */
export const trustingAll: TrustService = {
  may: () => true,
  explain: absent,
  status: absent,
  statements: absent,
  updates: absent,
  set: absent,
  withdraw: absent,
  resume: absent,
  revoke: absent,
  reconcile: absent,
}
