/** What is wrong with a configuration: all of it at once, within bounds. */
import { nearest } from './nearest.ts'

export type ConfigOrigin = 'default' | 'composition' | 'file' | 'environment' | 'flags'

/** One mistake. Never holds a value: it may be a secret. */
export interface ConfigIssue {
  readonly path: string
  readonly origin: ConfigOrigin | null
  readonly message: string
  /** The known key that was probably meant. */
  readonly nearest: string | null
}

/** More mistakes than this are not told: nobody reads them, and looking for what was meant costs time. */
const maxIssues = 100
/** Longer paths are cut short. */
const maxPathLength = 200

export class IssueList {
  readonly #issues: ConfigIssue[] = []

  get all(): readonly ConfigIssue[] {
    return this.#issues
  }

  /** @param known names of which one was probably meant */
  add(path: string, origin: ConfigOrigin | null, message: string, known?: () => Iterable<string>): void {
    if (this.#issues.length >= maxIssues) return
    const shown = path.length > maxPathLength ? `${path.slice(0, maxPathLength)}…` : path
    this.#issues.push({ path: shown, origin, message, nearest: known === undefined ? null : nearest(path, known()) })
  }

  addAll(issues: readonly ConfigIssue[]): void {
    this.#issues.push(...issues.slice(0, maxIssues - this.#issues.length))
  }
}
