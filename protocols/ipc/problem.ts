/** Errors on the wire: RFC 9457 problem documents that carry the members of an `ErrorDocument`. */
import { z } from 'zod'
import { exitCodes, NzError } from '../../kernel/index.ts'
import { ipcErrors } from './errors.ts'
import type { ErrorDocument, ExitName } from '../../kernel/index.ts'

export const PROBLEM_TYPE = 'application/problem+json'

const exitNames = Object.keys(exitCodes) as [ExitName, ...ExitName[]]

/** An error as `--json` prints it and as the local API sends it. */
export const ErrorDocumentSchema = z.object({
  code: z
    .string()
    .regex(/^NZ_[A-Z0-9_]{1,60}$/)
    .describe('stable code; match on this'),
  what: z.string().describe('what happened'),
  why: z.string().nullable().describe('why it happened this time'),
  do: z.array(z.string()).describe('next steps, most likely first'),
  retryable: z.boolean().describe('whether the same call may succeed later'),
  status: z.number().int().min(400).max(599).describe('HTTP status'),
  exit: z.enum(exitNames).describe('exit of the command line'),
  data: z.record(z.string(), z.unknown()).describe('facts that help to act on it'),
})

export const ProblemSchema = z.object({
  type: z.string().describe('names the code as a URI'),
  title: z.string().describe('same as `what`'),
  detail: z.string().optional().describe('same as `why`'),
  ...ErrorDocumentSchema.shape,
})

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
  const parsed = ErrorDocumentSchema.safeParse(body)
  return parsed.success ? NzError.fromDocument(parsed.data) : ipcErrors.NZ_IPC_ANSWER_INVALID({ cause: parsed.error })
}

/** What the other side may know of `error`: a catalogue error as it is, anything else as NZ_INTERNAL without details. */
export function publicError(error: unknown): NzError {
  return error instanceof NzError ? error : ipcErrors.NZ_INTERNAL({ cause: error })
}
