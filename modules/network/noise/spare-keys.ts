/** Key pairs for one handshake each. The next one is made while a handshake waits for its peer, not before it begins. */
import { generateX25519KeyPair } from '../../../protocols/noise/x25519.ts'
import type { X25519KeyPair } from '../../../protocols/noise/x25519.ts'

export class SpareKeys {
  #spare: X25519KeyPair | null = null
  #isMaking = false

  /** A pair that nobody else gets. */
  take(): X25519KeyPair {
    const taken = this.#spare ?? generateX25519KeyPair()
    this.#spare = null
    if (!this.#isMaking) {
      this.#isMaking = true
      setImmediate(this.#make)
    }
    return taken
  }

  readonly #make = (): void => {
    this.#isMaking = false
    this.#spare ??= generateX25519KeyPair()
  }
}
