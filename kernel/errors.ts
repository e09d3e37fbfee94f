/**
 * Errors with stable codes.
 *
 * A code is public API: callers, logs, the local API and the SDK match on `code`, never on
 * `message`. A code is added or deprecated, never renamed or reused. spec/errors.md is rendered
 * from the catalogue.
 */

/** Exit codes of the `nzcore` command; part of its public interface. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  notRunning: 3,
  permission: 4,
  notFound: 5,
  timedOut: 6,
  refusedByTrust: 7,
  unreachable: 8,
  degraded: 9,
  conflict: 10,
  damaged: 11,
  incompatible: 12,
  interrupted: 130,
} as const

export type ExitName = keyof typeof exitCodes

/** What an error code means to each of its audiences. */
export interface ErrorSpec {
  /** What happened: one sentence for the operator, without trailing punctuation. */
  readonly message: string
  /** Next steps, most likely first; `nzcore …` lines can be typed as they stand. */
  readonly fix: readonly string[]
  /** HTTP status the local API answers with. */
  readonly status: number
  /** How the CLI exits. */
  readonly exit: ExitName
  /** `true` when the same call may succeed later without a change by the caller. */
  readonly retryable: boolean
}

export interface NzErrorInit extends ErrorOptions {
  /** Why it happened this time: one sentence, never a secret. */
  readonly why?: string
  /** Facts that help to act on the error; JSON values, never secrets. */
  readonly data?: Readonly<Record<string, unknown>>
}

/** An error as it crosses the local API (the members of an RFC 9457 problem document) and as `--json` prints it. */
export interface ErrorDocument {
  readonly code: string
  readonly what: string
  readonly why: string | null
  readonly do: readonly string[]
  readonly retryable: boolean
  readonly status: number
  readonly exit: ExitName
  readonly data: Readonly<Record<string, unknown>>
}

export class NzError<Code extends string = string> extends Error {
  override readonly name = 'NzError'
  readonly code: Code
  readonly why: string | null
  readonly fix: readonly string[]
  readonly status: number
  readonly exit: ExitName
  readonly retryable: boolean
  readonly data: Readonly<Record<string, unknown>>

  constructor(code: Code, spec: ErrorSpec, init: NzErrorInit = {}) {
    super(spec.message, init.cause === undefined ? {} : { cause: init.cause })
    this.code = code
    this.why = init.why ?? null
    this.fix = spec.fix
    this.status = spec.status
    this.exit = spec.exit
    this.retryable = spec.retryable
    this.data = init.data ?? {}
  }

  toDocument(): ErrorDocument {
    const { code, message, why, fix, retryable, status, exit, data } = this
    return { code, what: message, why, do: fix, retryable, status, exit, data }
  }

  /** The error that was thrown on the other side of the local API. */
  static fromDocument(document: ErrorDocument): NzError {
    const { code, what, why, retryable, status, exit, data } = document
    return new NzError(
      code,
      { message: what, fix: document.do, status, exit, retryable },
      {
        data,
        ...(why === null ? {} : { why }),
      },
    )
  }
}

/** Next steps for people: a step names facts of the error as `data.path`, here the fact itself stands in its place. */
export function filledSteps(steps: readonly string[], data: ErrorDocument['data']): string[] {
  return steps.map((step) =>
    step.replaceAll(/\bdata\.([A-Za-z]+)/g, (name, key: string) => {
      const fact = data[key]
      if (Array.isArray(fact)) return fact.every(isShort) ? fact.map(String).join(', ') : name
      return isShort(fact) ? String(fact) : name
    }),
  )
}

function isShort(fact: unknown): boolean {
  return typeof fact === 'string' || typeof fact === 'number'
}

/** Whether `error` is an `NzError` with one of `codes` (with any code when none is named). */
export function isNzError<Code extends string>(error: unknown, ...codes: readonly Code[]): error is NzError<Code> {
  return error instanceof NzError && (codes.length === 0 || codes.some((code) => code === error.code))
}

export type ErrorCatalogue<Codes extends string> = {
  readonly [Code in Codes]: (init?: NzErrorInit) => NzError<Code>
}

const catalogue = new Map<string, ErrorSpec>()

/** Every code defined in this process, for the documentation and its test. */
export const knownErrors: ReadonlyMap<string, ErrorSpec> = catalogue

/**
 * Declares the errors of one module. Codes read `NZ_AREA_REASON`.
 *
 * @example
 *   export const identityErrors = defineErrors({
 *     NZ_IDENTITY_LOCKED: {
 *       message: 'identity is locked', fix: ['nzcore up'], status: 423, exit: 'permission', retryable: false,
 *     },
 *   })
 *   throw identityErrors.NZ_IDENTITY_LOCKED({ data: { profile } })
 */
export function defineErrors<Codes extends string>(specs: Record<Codes, ErrorSpec>): ErrorCatalogue<Codes> {
  const made: Record<string, (init?: NzErrorInit) => NzError> = {}
  for (const [code, spec] of Object.entries<ErrorSpec>(specs)) {
    if (catalogue.has(code)) throw new Error(`error code defined twice: ${code}`)
    catalogue.set(code, Object.freeze(spec))
    made[code] = (init) => new NzError(code, spec, init)
  }
  return made as ErrorCatalogue<Codes>
}
