/**
 * The shape of errors, for validation by others and for the documents rendered from the contract. Apart from
 * problem.ts, because whoever only reads an error need not load a schema library.
 */
import { z } from 'zod'
import { exitCodes } from '../../kernel/index.ts'
import type { ExitName } from '../../kernel/index.ts'

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
