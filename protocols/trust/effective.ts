/** How far a viewer trusts a peer, and why: own statement, best path, revocations, forks (NZ-TRUST-01 §6). */
import { MAX_PATH, MAX_PATHS_SHOWN, MAX_STATEMENTS_VISITED } from './limits.ts'
import type { IssuerLog, TrustIn } from './issuer-log.ts'
import type { Key, TrustLevel } from './update.ts'

/** Of 1,000, by level. */
export const levelWeights = [0, 250, 500, 750, 1_000] as const
/** What is left of the weight at each further statement of a path, of 1,000. */
export const PATH_DECAY = 800
/** What a path of more than one statement gives at most. */
export const MAX_PATH_WEIGHT = levelWeights[3]
/** Who revokes for others must be trusted by the viewer itself as far as this. */
const REVOKER_LEVEL = 3
const FORKED_LEVEL = 1

export interface TrustView {
  log(issuer: Key): IssuerLog | undefined
}

export interface Step {
  readonly issuer: Key
  readonly subject: Key
  readonly level: TrustLevel
  /** Seconds since 1970; 0: never. */
  readonly expiresS: number
  readonly vouchDepth: number
  /** Weight of the path up to here. */
  readonly weight: number
}

export interface EffectiveTrust {
  readonly level: TrustLevel
  /** 0 to 1,000. */
  readonly weight: number
  readonly because: 'self' | 'own' | 'path' | 'revoked' | 'none'
  readonly isForked: boolean
  /** Who revoked the peer so that it counts for the viewer. */
  readonly revokedBy: readonly Key[]
  /** Best first, at most eight; empty unless asked for or decided by a path. */
  readonly paths: readonly (readonly Step[])[]
  /** The search was cut at its bound: there may be better paths. */
  readonly isCut: boolean
}

export function effectiveTrust(view: TrustView, viewer: Key, peer: Key, nowS: number): EffectiveTrust {
  const isForked = view.log(peer)?.isForked === true
  if (viewer === peer) return { ...NOTHING, level: 4, weight: 1_000, because: 'self', isForked }
  const revokedBy = revokersOf(view, viewer, peer, nowS)
  if (revokedBy.length > 0) return { ...NOTHING, because: 'revoked', isForked, revokedBy }
  const own = standing(view, viewer, peer, nowS)
  if (own !== null) {
    const paths = [[{ ...stepOf(viewer, own), weight: levelWeights[own.level] }]]
    const level = isForked ? lower(own.level, FORKED_LEVEL) : own.level
    return { ...NOTHING, level, weight: levelWeights[level], because: 'own', isForked, paths }
  }
  const { paths, isCut } = pathsTo(view, viewer, peer, nowS)
  const weight = paths[0]?.at(-1)?.weight ?? 0
  const reached = levelOf(weight)
  const level = isForked ? lower(reached, FORKED_LEVEL) : reached
  return { ...NOTHING, level, weight, because: paths.length > 0 ? 'path' : 'none', isForked, paths, isCut }
}

const NOTHING = {
  level: 0,
  weight: 0,
  because: 'none',
  isForked: false,
  revokedBy: [],
  paths: [],
  isCut: false,
} as const satisfies EffectiveTrust

/** Who revoked `peer` so that it counts; `trusted`: those whose revocations the viewer takes over. */
function revokersOf(
  view: TrustView,
  viewer: Key,
  peer: Key,
  nowS: number,
  trusted: () => readonly Key[] = () => trustedRevokers(view, viewer, nowS),
): readonly Key[] {
  const revokes = (issuer: Key): boolean => view.log(issuer)?.revocationOf(peer) !== undefined
  const certain = [peer, viewer].filter(revokes)
  if (certain.length > 0 || standing(view, viewer, peer, nowS) !== null) return certain
  return trusted().filter(revokes)
}

function trustedRevokers(view: TrustView, viewer: Key, nowS: number): readonly Key[] {
  const isTrusted = (issuer: Key): boolean => {
    const log = view.log(issuer)
    const level = standing(view, viewer, issuer, nowS)?.level ?? 0
    return level >= REVOKER_LEVEL && log !== undefined && !log.isForked && log.revocationOf(issuer) === undefined
  }
  return [...(view.log(viewer)?.subjects ?? [])].filter(isTrusted).toSorted()
}

/** What `issuer` says of `subject`, unless its time is over. */
export function standing(view: TrustView, issuer: Key, subject: Key, nowS: number): TrustIn | null {
  const said = view.log(issuer)?.trustIn(subject)
  return said === undefined || (said.expiresS !== 0 && said.expiresS <= nowS) ? null : said
}

interface Reached {
  readonly weight: number
  readonly path: readonly Step[]
}

/** The best path of each length through each last introducer. */
function pathsTo(
  view: TrustView,
  viewer: Key,
  peer: Key,
  nowS: number,
): { readonly paths: readonly (readonly Step[])[]; readonly isCut: boolean } {
  const budget = { left: MAX_STATEMENTS_VISITED }
  const isUsable = usableIntroducers(view, viewer, nowS)
  // Of whom the viewer speaks itself its own word decides, whatever others say.
  const isSpokenOf = (key: Key): boolean => standing(view, viewer, key, nowS) !== null
  const found: Reached[] = []
  for (let length = 2; length <= MAX_PATH; length++) {
    let reached: ReadonlyMap<Key, Reached> = new Map([[viewer, { weight: 1_000, path: [] }]])
    for (let hop = 1; hop < length; hop++) {
      const isNext = (key: Key): boolean => key !== peer && isUsable(key) && (hop === 1 || !isSpokenOf(key))
      const search = { view, nowS, budget, depth: length - hop, isUsable: isNext }
      reached = widen(reached, search)
    }
    for (const [introducer, so] of reached) {
      const said = standing(view, introducer, peer, nowS)
      if (said !== null && said.level > 0) found.push(along(so, introducer, said))
    }
  }
  const best = found.toSorted((a, b) => b.weight - a.weight || a.path.length - b.path.length || compareKeys(a, b))
  return { paths: best.slice(0, MAX_PATHS_SHOWN).map(({ path }) => path), isCut: budget.left <= 0 }
}

interface Search {
  readonly view: TrustView
  readonly nowS: number
  readonly budget: { left: number }
  /** How far the subjects must be let vouch. */
  readonly depth: number
  readonly isUsable: (key: Key) => boolean
}

/** One statement further from all of `from`: of the ways to one subject the best. */
function widen(from: ReadonlyMap<Key, Reached>, search: Search): ReadonlyMap<Key, Reached> {
  const next = new Map<Key, Reached>()
  for (const [issuer, so] of from) {
    for (const subject of search.view.log(issuer)?.subjects ?? []) {
      if ((search.budget.left -= 1) < 0) return next
      const said = standing(search.view, issuer, subject, search.nowS)
      if (said === null || said.level === 0 || said.vouchDepth < search.depth || !search.isUsable(subject)) continue
      const way = along(so, issuer, said)
      const known = next.get(subject)
      if (
        known === undefined ||
        way.weight > known.weight ||
        (way.weight === known.weight && compareKeys(way, known) < 0)
      )
        next.set(subject, way)
    }
  }
  return next
}

function along(so: Reached, issuer: Key, said: TrustIn): Reached {
  const isFirst = so.path.length === 0
  const passed = Math.floor((so.weight * levelWeights[said.level]) / 1_000)
  const weight = isFirst ? passed : Math.min(Math.floor((passed * PATH_DECAY) / 1_000), MAX_PATH_WEIGHT)
  return { weight, path: [...so.path, { ...stepOf(issuer, said), weight }] }
}

/** No path leads through the viewer, through who forked, and through who is revoked for the viewer. */
function usableIntroducers(view: TrustView, viewer: Key, nowS: number): (key: Key) => boolean {
  const known = new Map<Key, boolean>()
  const trusted = trustedRevokers(view, viewer, nowS)
  return (key) => {
    const before = known.get(key)
    if (before !== undefined) return before
    const log = view.log(key)
    const isUsable =
      key !== viewer &&
      log !== undefined &&
      !log.isForked &&
      revokersOf(view, viewer, key, nowS, () => trusted).length === 0
    known.set(key, isUsable)
    return isUsable
  }
}

function stepOf(issuer: Key, { subject, level, expiresS, vouchDepth }: TrustIn): Omit<Step, 'weight'> {
  return { issuer, subject, level, expiresS, vouchDepth }
}

function levelOf(weight: number): TrustLevel {
  if (weight >= levelWeights[4]) return 4
  if (weight >= levelWeights[3]) return 3
  if (weight >= levelWeights[2]) return 2
  return weight >= levelWeights[1] ? 1 : 0
}

function lower(level: TrustLevel, bound: TrustLevel): TrustLevel {
  return level < bound ? level : bound
}

function compareKeys(a: Reached, b: Reached): number {
  const keys = ({ path }: Reached): string => path.map(({ subject }) => subject).join()
  const [one, other] = [keys(a), keys(b)]
  if (one === other) return 0
  return one < other ? -1 : 1
}
