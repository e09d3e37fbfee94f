/** Four nodes with keys from seeds, one behind the other, and a path through them: what the vectors of NZ-ROUTING-01 are of. */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { signedBytes } from '../../protocols/identity/signature.ts'
import { createAnswer, passBack } from '../../protocols/routing/answer.ts'
import { createSetup, passOn } from '../../protocols/routing/setup.ts'
import { hexOf } from '../../protocols/routing/signing.ts'
import type { SigningPurpose } from '../../protocols/identity/signature.ts'
import type { Key, Sign } from '../../protocols/routing/signing.ts'

export const NAMES = ['source', 'first', 'second', 'end'] as const
export type Name = (typeof NAMES)[number]
export type Party = {
  readonly key: Key
  readonly sign: Sign
  readonly signAny: (purpose: SigningPurpose, message: Uint8Array) => Uint8Array
}
export type Parties = Readonly<Record<Name, Party>>

export const SEEDS: Readonly<Record<Name, number>> = { source: 40, first: 41, second: 42, end: 43 }
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')

export function parties(): Parties {
  const made = NAMES.map((name) => {
    const der = Buffer.concat([PKCS8, seedOf(SEEDS[name])])
    const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    const publicKey = new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32))
    const signAny = (purpose: SigningPurpose, message: Uint8Array): Uint8Array =>
      new Uint8Array(sign(null, signedBytes(purpose, message), key))
    return [name, { key: hexOf(publicKey), sign: signAny, signAny }] as const
  })
  return Object.fromEntries(made) as Readonly<Record<string, Party>> as Parties
}

export const seedOf = (fill: number): Uint8Array => new Uint8Array(32).fill(fill)

export function pathOf({ source, first, second, end }: Parties) {
  const body = { source: source.key, destination: end.key, flow: 'c3'.repeat(16), sequence: 1_800_000_000_000 }
  const sent = createSetup(body, { ttl: 9, next: first.key }, source.sign)
  const passed = passOn(sent, { self: first.key, next: second.key }, first.sign)
  const arrived = passOn(passed, { self: second.key, next: end.key }, second.sign)
  const answered = createAnswer(arrived, end.sign)
  const back = passBack(answered, { self: second.key, waitedUs: 900 }, second.sign)
  const home = passBack(back, { self: first.key, waitedUs: 2_000 }, first.sign)
  return { body, sent, passed, arrived, answered, back, home }
}
