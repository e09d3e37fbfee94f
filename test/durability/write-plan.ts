/**
 * What a writer writes: step after step the same for the same seed, so that from the number of acknowledged steps
 * alone follows what must be there. A step is one change, or one batch that must be there as a whole or not at all.
 */
import { createHash } from 'node:crypto'
import { seededRandom } from '../../kernel/index.ts'

export type PlannedChange =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly type: 'delete'; readonly key: string }

interface PlannedPut {
  readonly type: 'put'
  readonly key: string
  readonly step: number
  readonly size: number
}

export interface WritePlanOptions {
  readonly seed: number
  readonly writer: number
  readonly hasBatches: boolean
}

/** Keys of one writer. */
const KEYS = 10
/** Words that stand in every value and every key: what a search of the disk looks for. */
export const VALUE_WORD = 'quokkavalue'
export const KEY_WORD = 'wombatkey'

export class WritePlan {
  readonly prefix: string
  readonly #options: WritePlanOptions
  /** By key the step that wrote it and the size it drew: values are made when they are compared. */
  readonly #state = new Map<string, PlannedPut>()
  #steps = 0

  constructor(options: WritePlanOptions) {
    this.#options = options
    this.prefix = `${KEY_WORD}-${options.writer}/`
  }

  /** Steps that are known to be done. */
  get steps(): number {
    return this.#steps
  }

  /** The changes of step `n`, which comes after `n` others. */
  changes(n: number): readonly PlannedChange[] {
    return this.#planned(n).map((change) =>
      change.type === 'delete' ? change : { type: 'put', key: change.key, value: valueOf(change) },
    )
  }

  #planned(step: number): readonly (PlannedPut | { readonly type: 'delete'; readonly key: string })[] {
    const { seed, writer, hasBatches } = this.#options
    const mixed = Math.imul(seed, 31) ^ Math.imul(writer + 1, 0x9e3779b1) ^ Math.imul(step + 1, 0x85ebca6b)
    const random = seededRandom(mixed)
    const below = (bound: number): number => Math.floor(random.unit() * bound)
    const key = (): string => `${this.prefix}${below(KEYS)}`
    const put = (at: string): PlannedPut => ({ type: 'put', key: at, step, size: sizeOf(random.unit()) })
    if (!hasBatches || below(2) === 0) return [below(5) === 0 ? { type: 'delete', key: key() } : put(key())]
    const keys = new Set(Array.from({ length: 2 + below(5) }, key))
    return [...keys].map((at) => (below(4) === 0 ? { type: 'delete', key: at } : put(at)))
  }

  /** Notes that the next step is done. */
  advance(): void {
    for (const change of this.#planned(this.#steps)) {
      if (change.type === 'put') this.#state.set(change.key, change)
      else this.#state.delete(change.key)
    }
    this.#steps += 1
  }

  /**
   * Takes over what was found: exactly the state after the steps known to be done, or after the one more that was under
   * way. Returns what is wrong with it otherwise.
   */
  settle(found: ReadonlyMap<string, Uint8Array>): string | null {
    const before = difference(this.#state, found)
    if (before === null) return null
    const next = this.fork()
    next.advance()
    const after = difference(next.#state, found)
    if (after === null) this.advance()
    if (after === null) return null
    return `writer ${this.#options.writer} after ${this.#steps} steps: ${before}; after one more: ${after}`
  }

  /** A plan that goes on from here by itself. */
  fork(): WritePlan {
    const plan = new WritePlan(this.#options)
    for (const [key, put] of this.#state) plan.#state.set(key, put)
    plan.#steps = this.#steps
    return plan
  }

  /** Takes steps for done until `steps` are. */
  advanceTo(steps: number): void {
    while (this.#steps < steps) this.advance()
  }
}

/** Mostly small, sometimes larger than a block of LevelDB's log. */
function sizeOf(chance: number): number {
  return chance < 0.04 ? 40_000 : Math.floor(chance * chance * 6_000)
}

function valueOf({ key, step, size }: PlannedPut): Uint8Array {
  const start = `${key} step ${step} ${VALUE_WORD} `
  let text = start
  for (let part = 0; text.length < start.length + size; part++) {
    text += createHash('sha512').update(`${start}${part}`).digest('base64')
  }
  return Buffer.from(text.slice(0, start.length + size))
}

function difference(should: ReadonlyMap<string, PlannedPut>, is: ReadonlyMap<string, Uint8Array>): string | null {
  for (const [key, put] of should) {
    const found = is.get(key)
    if (found === undefined) return `${key} is missing`
    const value = valueOf(put)
    if (Buffer.compare(value, found) !== 0) return `${key} is ${described(found)} and not ${described(value)}`
  }
  for (const key of is.keys()) if (!should.has(key)) return `${key} should not be there`
  return null
}

function described(value: Uint8Array): string {
  return `${JSON.stringify(Buffer.from(value.subarray(0, 40)).toString())} (${value.byteLength} bytes)`
}
