/**
 * Schemas of flat objects, without a schema library: every command line loads the kernel's face, and a library would be
 * most of its start. What comes from outside is checked by real schemas elsewhere.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'

/** Whether a value is a `T`. */
export type Check<T> = (value: unknown) => value is T

type Checked<C> = C extends Check<infer T> ? T : never

export const aText: Check<string> = (value): value is string => typeof value === 'string'
export const aNumber: Check<number> = (value): value is number => typeof value === 'number' && Number.isFinite(value)
export const anInteger: Check<number> = (value): value is number => Number.isSafeInteger(value)

export function oneOf<const T extends string>(choices: readonly T[]): Check<T> {
  return (value): value is T => choices.some((choice) => choice === value)
}

export function orNull<T>(check: Check<T>): Check<T | null> {
  return (value): value is T | null => value === null || check(value)
}

export function listOf<T>(check: Check<T>): Check<T[]> {
  return (value): value is T[] => Array.isArray(value) && value.every(check)
}

/** An object with these fields; others are left out. */
export function shape<F extends Readonly<Record<string, Check<unknown>>>>(
  fields: F,
): StandardSchemaV1<unknown, { [Key in keyof F]: Checked<F[Key]> }> {
  type Output = { [Key in keyof F]: Checked<F[Key]> }
  return {
    '~standard': {
      version: 1,
      vendor: 'nzcore',
      validate(value) {
        if (typeof value !== 'object' || value === null) return { issues: [{ message: 'must be an object' }] }
        const given = value as Readonly<Record<string, unknown>>
        const kept: Record<string, unknown> = {}
        const issues: StandardSchemaV1.Issue[] = []
        for (const [name, check] of Object.entries(fields)) {
          if (check(given[name])) kept[name] = given[name]
          else issues.push({ message: 'does not fit', path: [name] })
        }
        // Every field was just checked.
        return issues.length > 0 ? { issues } : { value: kept as Output }
      },
    },
  }
}
