/** What logs and their entries are called; loads nothing, the contract of the local API says it too. NZ-LOG-01 §1. */

/** Who speaks: an application, the event bus of the node, or the log about itself. */
export const entryKinds = ['entry', 'event', 'statement'] as const
export type EntryKind = (typeof entryKinds)[number]

const LOG_NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/

export function isLogName(name: string): boolean {
  return LOG_NAME.test(name)
}
