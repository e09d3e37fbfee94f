/** Kinds of versions; loads nothing, the contract of the local API says it too. spec/NZ-DOCUMENTS-01.md §2. */
export const versionKinds = ['put', 'merge', 'delete'] as const
export type VersionKind = (typeof versionKinds)[number]
