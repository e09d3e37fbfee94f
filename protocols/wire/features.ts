/** Features of a session (NZ-WIRE-01 §7): short names, ascending, each once; what both have is used. */

export const MAX_FEATURES = 32
const NAME = /^[a-z0-9][a-z0-9.-]{0,31}$/

/** Whether the list is one that may travel: at most 32 names of 1 to 32 characters, ascending, each once. */
export function isFeatureList(features: readonly string[]): boolean {
  if (features.length > MAX_FEATURES) return false
  return features.every((name, at) => NAME.test(name) && (at === 0 || (features[at - 1] ?? '') < name))
}

/** What both lists have, ascending. */
export function commonFeatures(ours: readonly string[], theirs: readonly string[]): readonly string[] {
  const known = new Set(theirs)
  return ours.filter((name) => known.has(name)).toSorted()
}
