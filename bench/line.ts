/** The line of an attacker: what all its connections send together is no more than this many bytes a second. */
const TICK_MS = 2
/** What a line that was idle may send at once, in seconds of its rate. */
const BURST_SECONDS = 0.02

export class Line {
  readonly #bytesPerMs: number
  #roomBytes: number
  #filledAtMs = performance.now()
  sentBytes = 0

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1_000
    this.#roomBytes = bytesPerSecond * BURST_SECONDS
  }

  /** Waits for its turn; a piece larger than what is left goes, and those behind it wait for that. */
  async room(byteLength: number): Promise<void> {
    for (this.#fill(); this.#roomBytes <= 0; this.#fill()) await new Promise((resolve) => setTimeout(resolve, TICK_MS))
    this.#roomBytes -= byteLength
    this.sentBytes += byteLength
  }

  #fill(): void {
    const nowMs = performance.now()
    const mostBytes = this.#bytesPerMs * 1_000 * BURST_SECONDS
    this.#roomBytes = Math.min(mostBytes, this.#roomBytes + (nowMs - this.#filledAtMs) * this.#bytesPerMs)
    this.#filledAtMs = nowMs
  }
}
