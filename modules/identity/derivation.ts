/** Hardened Ed25519 key derivation, SLIP-0010. spec/NZ-IDENTITY-01.md §3. */
import { createHmac } from 'node:crypto'

const HARDENED = 0x8000_0000
const KEY_BYTES = 32

/**
 * The 32-byte private key at `path` below the master key of `seed`; every step is hardened, as Ed25519 demands.
 * The caller zeroes it.
 */
export function derivePrivateKey(seed: Uint8Array, path: readonly number[]): Uint8Array {
  let node: Uint8Array = createHmac('sha512', 'ed25519 seed').update(seed).digest()
  const step = new Uint8Array(1 + KEY_BYTES + 4)
  try {
    for (const index of path) {
      if (!Number.isInteger(index) || index < 0 || index >= HARDENED) throw new RangeError('not a path index')
      step.set(node.subarray(0, KEY_BYTES), 1)
      new DataView(step.buffer).setUint32(1 + KEY_BYTES, index + HARDENED)
      const child = createHmac('sha512', node.subarray(KEY_BYTES)).update(step).digest()
      node.fill(0)
      node = child
    }
    return Uint8Array.from(node.subarray(0, KEY_BYTES))
  } finally {
    step.fill(0)
    node.fill(0)
  }
}
