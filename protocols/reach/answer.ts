/** How a peer is placed, as it tells those it is connected to: the request `reach.tell` (NZ-REACH-01). */

export const REACH_METHOD = 'reach.tell'
export const REACH_ANSWER_BYTES = 8

const VERSION = 1
const MAPPINGS = ['unknown', 'none', 'endpoint-independent', 'endpoint-dependent'] as const
const CAN_PUNCH = 1
const HAS_NEXT_TRY = 2
const MAX_U32 = 0xff_ff_ff_ff

export interface ReachAnswer {
  /** How a NAT maps its listening port (RFC 4787 §4.1). */
  readonly mapping: (typeof MAPPINGS)[number]
  /** Whether it can dial from its listening port. */
  readonly canPunch: boolean
  /** Direct connections to the asker that it has tried over the present relayed one; at most 255. */
  readonly tries: number
  /** Milliseconds until it tries the next; 0: now; `null`: it plans none. */
  readonly nextTryInMs: number | null
}

export function encodeReachAnswer({ mapping, canPunch, tries, nextTryInMs }: ReachAnswer): Uint8Array {
  const bytes = new Uint8Array(REACH_ANSWER_BYTES)
  const flags = (canPunch ? CAN_PUNCH : 0) | (nextTryInMs === null ? 0 : HAS_NEXT_TRY)
  bytes.set([VERSION, MAPPINGS.indexOf(mapping), flags, Math.min(tries, 255)])
  const next = Math.min(MAX_U32, Math.max(0, Math.round(nextTryInMs ?? 0)))
  new DataView(bytes.buffer).setUint32(4, next)
  return bytes
}

/** `null` for anything else. */
export function decodeReachAnswer(bytes: Uint8Array): ReachAnswer | null {
  if (bytes.length !== REACH_ANSWER_BYTES) return null
  const [version, kind = 255, flags = 255, tries = 0] = bytes
  const mapping = MAPPINGS[kind]
  if (version !== VERSION || mapping === undefined || flags > (CAN_PUNCH | HAS_NEXT_TRY)) return null
  const next = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4)
  const hasNext = (flags & HAS_NEXT_TRY) !== 0
  if (!hasNext && next !== 0) return null
  return { mapping, canPunch: (flags & CAN_PUNCH) !== 0, tries, nextTryInMs: hasNext ? next : null }
}
