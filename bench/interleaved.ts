/** Variants of one thing in this process, measured in turn, so that a change of the machine's speed meets all of them. */
import { summaryOf } from './statistics.ts'
import type { Summary } from './statistics.ts'

export interface Variant {
  readonly name: string
  /** Does the work of one round and checks it. @throws when it is not right */
  readonly run: (round: number) => Promise<void>
}

export interface VariantTimes {
  readonly name: string
  /** Milliseconds a round. */
  readonly ms: Summary
}

/** One more round goes before the measured ones uncounted. */
export async function measureInTurn(
  variants: readonly Variant[],
  { rounds, signal }: { readonly rounds: number; readonly signal: AbortSignal },
): Promise<readonly VariantTimes[]> {
  const times = variants.map((): number[] => [])
  for (let round = -1; round < rounds; round++) {
    // Another one goes first each time: whoever follows a heavy one may find a warm or a tired machine.
    for (let turn = 0; turn < variants.length; turn++) {
      signal.throwIfAborted()
      const index = (turn + round + 1) % variants.length
      const startedAt = performance.now()
      await variants[index]?.run(round)
      if (round >= 0) times[index]?.push(performance.now() - startedAt)
    }
  }
  return variants.map(({ name }, i) => ({ name, ms: summaryOf(times[i] ?? []) }))
}
