/** Randomness as a service: the operating system's in a daemon, seeded in a simulation. */
import type * as Crypto from 'node:crypto'

export interface Random {
  /** `length` random bytes. Only `systemRandom` is fit for keys. */
  bytes(length: number): Uint8Array
  /** A number in [0, 1). */
  unit(): number
}

/** Cryptographically secure. */
export const systemRandom: Random = Object.freeze({
  bytes: (length: number) => new Uint8Array(crypto().randomBytes(length)),
  unit: () => crypto().randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
})

/** Loaded by the first who wants randomness: an import costs every command of the command line 8 ms. */
const crypto = (): Pick<typeof Crypto, 'randomBytes'> => process.getBuiltinModule('node:crypto')

/** Reproducible (splitmix32); for simulations and tests, never for keys. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return (z ^ (z >>> 15)) >>> 0
  }
  return {
    bytes: (length) => Uint8Array.from({ length }, () => next() & 0xff),
    unit: () => next() / 2 ** 32,
  }
}
