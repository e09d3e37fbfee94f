/**
 * Whose updates a viewer takes from others: subjects of its own statements and, where it lets them vouch, of theirs
 * (NZ-TRUST-01 §5.3). Grows with each statement that adds somebody; what takes somebody out is looked at in `refresh`.
 */
import { standing } from './effective.ts'
import { MAX_PATH, MAX_STATEMENTS_VISITED } from './limits.ts'
import type { TrustView } from './effective.ts'
import type { Key, TrustUpdate } from './update.ts'

/** How long the passing of time alone may go unnoticed. */
const REFRESH_EVERY_S = 60

export interface InterestOptions {
  readonly view: TrustView
  readonly viewer: Key
  readonly nowS: () => number
}

export class Interest {
  readonly #options: InterestOptions
  /** How many further statements may follow from each. */
  #depths: Map<Key, number>
  #visited = 0
  #isStale = false
  #hasGrown = false
  #computedS: number

  constructor(options: InterestOptions) {
    this.#options = options
    this.#computedS = options.nowS()
    this.#depths = this.#compute()
    this.#hasGrown = false
  }

  get keys(): Iterable<Key> {
    return this.#depths.keys()
  }

  has(issuer: Key): boolean {
    return this.#depths.has(issuer)
  }

  /** An update was added to the view. */
  note({ issuer, statement }: TrustUpdate): void {
    const depth = this.#depths.get(issuer) ?? 0
    if (depth === 0) return
    const isWider = (this.#visited += 1) <= MAX_STATEMENTS_VISITED && statement.kind === 'trust' && statement.level > 0
    // It may have been let vouch further before: what came in by that goes with the next refresh.
    const isLess = statement.kind === 'trust' && (this.#depths.get(statement.subject) ?? 0) > statement.vouchDepth
    if (!isWider || isLess) this.#isStale = true
    else if (this.#reach(issuer, statement.subject, depth, this.#depths))
      this.#spread([statement.subject], this.#depths)
  }

  /** Everything may have changed, such as by a fork or a load. */
  invalidate(): void {
    this.#isStale = true
  }

  /** Looks at everything anew when that is due. At most once for each message: it costs up to 65,536 statements. */
  refresh(): void {
    if (!this.#isStale && Math.abs(this.#options.nowS() - this.#computedS) < REFRESH_EVERY_S) return
    const before = this.#depths
    const hadGrown = this.#hasGrown
    this.#depths = this.#compute()
    // Everybody is new to an empty map: what counts is who was not in the last one.
    this.#hasGrown = hadGrown || [...this.#depths.keys()].some((key) => !before.has(key))
  }

  /** Whether anybody came in since the last call. */
  takeGrowth(): boolean {
    const hasGrown = this.#hasGrown
    this.#hasGrown = false
    return hasGrown
  }

  #compute(): Map<Key, number> {
    const { viewer, nowS } = this.#options
    this.#isStale = false
    this.#computedS = nowS()
    this.#visited = 0
    const depths = new Map([[viewer, MAX_PATH]])
    this.#spread([viewer], depths)
    return depths
  }

  #spread(queue: Key[], depths: Map<Key, number>): void {
    for (let issuer = queue.shift(); issuer !== undefined; issuer = queue.shift()) {
      const depth = depths.get(issuer) ?? 0
      if (depth === 0) continue
      for (const subject of this.#options.view.log(issuer)?.subjects ?? []) {
        if ((this.#visited += 1) > MAX_STATEMENTS_VISITED) return
        if (this.#reach(issuer, subject, depth, depths)) queue.push(subject)
      }
    }
  }

  /** @returns whether `subject` may now reach further than before */
  #reach(issuer: Key, subject: Key, depth: number, depths: Map<Key, number>): boolean {
    const { view, nowS } = this.#options
    const said = standing(view, issuer, subject, nowS())
    if (said === null || said.level === 0) return false
    const left = Math.min(depth - 1, said.vouchDepth)
    const known = depths.get(subject)
    if (known !== undefined && left <= known) return false
    if (known === undefined) this.#hasGrown = true
    depths.set(subject, left)
    return true
  }
}
