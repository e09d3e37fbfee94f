/**
 * One budget for every byte the module buffers: what arrived and was not read, and what waits to be sent. A peer may
 * hold a quarter of it, so that one stalled peer does not stop the others. At the bound writers wait and readers'
 * windows stay shut; nothing is thrown away.
 */

/** The part of the budget that one peer may hold. */
const PEER_SHARE = 1 / 4

interface Waiter {
  readonly account: ByteAccount
  readonly byteLength: number
  readonly resolve: () => void
}

export class ByteBudget {
  readonly limitBytes: number
  #usedBytes = 0
  readonly #waiters = new Set<Waiter>()

  constructor({ limitBytes }: { readonly limitBytes: number }) {
    this.limitBytes = limitBytes
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** The account of one peer. */
  account(): ByteAccount {
    return new ByteAccount(this)
  }

  fits(byteLength: number): boolean {
    return this.#usedBytes + byteLength <= this.limitBytes
  }

  change(byteLength: number): void {
    this.#usedBytes += byteLength
    if (byteLength < 0) this.#wake()
  }

  /** Waits in line until `account` may hold `byteLength` more. */
  async wait(account: ByteAccount, byteLength: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiter: Waiter = { account, byteLength, resolve }
    const onAbort = (): void => reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort, { once: true })
    this.#waiters.add(waiter)
    try {
      await promise
    } finally {
      this.#waiters.delete(waiter)
      signal.removeEventListener('abort', onAbort)
    }
  }

  #wake(): void {
    for (const waiter of this.#waiters) {
      if (!waiter.account.tryAcquire(waiter.byteLength)) continue
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
  }
}

/** What one peer holds of the budget. */
export class ByteAccount {
  readonly #budget: ByteBudget
  #usedBytes = 0

  constructor(budget: ByteBudget) {
    this.#budget = budget
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Whether the peer, or all peers together, hold as much as they may. */
  get isFull(): boolean {
    return !this.#fits(1)
  }

  /** For bytes that are there already and cannot be refused. */
  charge(byteLength: number): void {
    this.#usedBytes += byteLength
    this.#budget.change(byteLength)
  }

  release(byteLength: number): void {
    this.charge(-byteLength)
  }

  tryAcquire(byteLength: number): boolean {
    if (!this.#fits(byteLength)) return false
    this.charge(byteLength)
    return true
  }

  /** Resolves when the peer may hold `byteLength` more bytes, and holds them from then on. */
  async acquire(byteLength: number, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    if (!this.tryAcquire(byteLength)) await this.#budget.wait(this, byteLength, signal)
  }

  #fits(byteLength: number): boolean {
    return this.#usedBytes + byteLength <= this.#budget.limitBytes * PEER_SHARE && this.#budget.fits(byteLength)
  }
}
