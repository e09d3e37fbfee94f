/** Which counters of an epoch were received (NZ-CHANNEL-01 §4): a ring of bits, as RFC 6479 lays it out. */
import { REPLAY_WINDOW_PACKETS } from './limits.ts'

const WORD_BITS = 32
/** One word more than the window: the newest word fills up while the oldest still counts. */
const WORDS = REPLAY_WINDOW_PACKETS / WORD_BITS + 1

export class ReplayWindow {
  readonly #words = new Uint32Array(WORDS)
  /** Highest counter taken; -1: none. */
  #newest = -1

  /** Whether a packet of this counter may be new. Ask before its tag is checked, `take` after. */
  test(counter: number): 'new' | 'replayed' | 'tooOld' {
    if (counter > this.#newest) return 'new'
    if (counter <= this.#newest - REPLAY_WINDOW_PACKETS) return 'tooOld'
    return ((this.#words[wordOf(counter)] ?? 0) & bitOf(counter)) === 0 ? 'new' : 'replayed'
  }

  /** Marks a counter that `test` called new and whose packet was authentic. */
  take(counter: number): void {
    if (counter > this.#newest) {
      const from = Math.floor(this.#newest / WORD_BITS)
      const to = Math.floor(counter / WORD_BITS)
      const cleared = Math.min(to - from, WORDS)
      for (let step = 1; step <= cleared; step += 1) this.#words[(from + step + WORDS) % WORDS] = 0
      this.#newest = counter
    }
    const word = wordOf(counter)
    this.#words[word] = (this.#words[word] ?? 0) | bitOf(counter)
  }
}

function wordOf(counter: number): number {
  return Math.floor(counter / WORD_BITS) % WORDS
}

function bitOf(counter: number): number {
  return (1 << (counter % WORD_BITS)) >>> 0
}
