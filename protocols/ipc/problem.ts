/** Errors on the wire: RFC 9457 problem documents that carry the members of an `ErrorDocument`. */
import { exitCodes, NzError } from '../../kernel/index.ts'
import { ipcErrors } from './errors.ts'
import type { ErrorDocument, ExitName } from '../../kernel/index.ts'

export const PROBLEM_TYPE = 'application/problem+json'

/** The body of an error answer. */
export function problemOf(error: NzError): ErrorDocument & { type: string; title: string; detail?: string } {
  const document = error.toDocument()
  return {
    type: `urn:nzcore:error:${error.code}`,
    title: document.what,
    ...(document.why === null ? {} : { detail: document.why }),
    ...document,
  }
}

/** The error inside an answer of the other side. Anything else than a problem becomes NZ_IPC_ANSWER_INVALID. */
export function errorFromProblem(body: unknown): NzError {
  const document = errorDocumentFrom(body)
  return document === null ? ipcErrors.NZ_IPC_ANSWER_INVALID() : NzError.fromDocument(document)
}

/**
 * The error that the other side describes, without members it has beyond those of ours; `null` when it is none.
 * Accepts what `ErrorDocumentSchema` (problem-schemas.ts) accepts.
 */
export function errorDocumentFrom(value: unknown): ErrorDocument | null {
  if (!isRecord(value)) return null
  const { code, what, why, do: steps, retryable, status, exit, data } = value
  if (typeof code !== 'string' || !CODE.test(code)) return null
  if (typeof what !== 'string' || (why !== null && typeof why !== 'string')) return null
  if (!Array.isArray(steps) || !steps.every((step) => typeof step === 'string')) return null
  if (typeof retryable !== 'boolean' || !isErrorStatus(status) || !isExitName(exit) || !isRecord(data)) return null
  return { code, what, why, do: steps, retryable, status, exit, data: withoutPrototype(data) }
}

/** What the other side may know of `error`: a catalogue error as it is, anything else as NZ_INTERNAL without details. */
export function publicError(error: unknown): NzError {
  return error instanceof NzError ? error : ipcErrors.NZ_INTERNAL({ cause: error })
}

const CODE = /^NZ_[A-Z0-9_]{1,60}$/

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A copy without a `__proto__` of its own, which would become the prototype of whatever copies it next. */
function withoutPrototype(data: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(data).filter(([key]) => key !== '__proto__'))
}

function isErrorStatus(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 400 && Number(value) <= 599
}

function isExitName(value: unknown): value is ExitName {
  return typeof value === 'string' && Object.hasOwn(exitCodes, value)
}
