/** What the policy said lately: routes ask it for every neighbour, many times a second. */
import type { Key } from '../../protocols/routing/signing.ts'

/** How long an answer is used; a change of trust makes all of them be asked anew at once. */
export const POLICY_MEMORY_MS = 1_000

export interface RecentPolicyInit {
  readonly nowMs: () => number
  readonly ask: (key: Key, act: 'connect' | 'route') => boolean
}

export class RecentPolicy {
  readonly #init: RecentPolicyInit
  readonly #answers = new Map<string, boolean>()
  #askedAtMs = 0

  constructor(init: RecentPolicyInit) {
    this.#init = init
  }

  may(key: Key, act: 'connect' | 'route'): boolean {
    const nowMs = this.#init.nowMs()
    if (nowMs - this.#askedAtMs >= POLICY_MEMORY_MS) {
      this.#askedAtMs = nowMs
      this.#answers.clear()
    }
    const name = `${act} ${key}`
    const known = this.#answers.get(name)
    if (known !== undefined) return known
    const answer = this.#init.ask(key, act)
    this.#answers.set(name, answer)
    return answer
  }

  forget(): void {
    this.#answers.clear()
  }
}
