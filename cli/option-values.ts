/** Durations among the options. */
import { cliErrors } from './errors.ts'
import { parseDuration } from './text.ts'
import type { CommandInput } from './command.ts'

/** The option's duration in milliseconds. @throws NZ_CLI_USAGE when it reads like none */
export function durationOption({ options }: CommandInput, name: string): number | undefined {
  const typed = options[name]
  if (typeof typed !== 'string') return undefined
  const durationMs = parseDuration(typed)
  if (durationMs !== null) return durationMs
  throw cliErrors.NZ_CLI_USAGE({ why: `--${name} takes a duration such as 30s, 10m or 1h30m` })
}

/** The option's whole number from `least` to `most`. @throws NZ_CLI_USAGE */
export function countOption(
  { options }: CommandInput,
  name: string,
  { least = 1, most }: { readonly least?: number; readonly most: number },
): number | undefined {
  const typed = options[name]
  if (typeof typed !== 'string') return undefined
  const count = /^\d+$/.test(typed) ? Number(typed) : Number.NaN
  if (count >= least && count <= most) return count
  throw cliErrors.NZ_CLI_USAGE({ why: `--${name} takes a whole number from ${least} to ${most}` })
}
