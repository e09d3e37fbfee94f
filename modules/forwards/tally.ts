/** What is counted of one forward while the node runs, and the bound on its connections. */
export const MAX_CONNECTIONS_PER_FORWARD = 64

export class Tally {
  #connections = 0
  #totalConnections = 0
  #txBytes = 0
  #rxBytes = 0
  lastCode: string | null = null

  get isFull(): boolean {
    return this.#connections >= MAX_CONNECTIONS_PER_FORWARD
  }

  /** Takes one place until the returned function is called, once. */
  open(): () => void {
    this.#connections += 1
    return () => {
      this.#connections -= 1
    }
  }

  /** The connection that took a place carries data now. */
  connected(): void {
    this.#totalConnections += 1
    this.lastCode = null
  }

  readonly count = (direction: 'tx' | 'rx', bytes: number): void => {
    if (direction === 'tx') this.#txBytes += bytes
    else this.#rxBytes += bytes
  }

  view() {
    return {
      connections: this.#connections,
      totalConnections: this.#totalConnections,
      lastCode: this.lastCode,
      txBytes: this.#txBytes,
      rxBytes: this.#rxBytes,
    }
  }
}
