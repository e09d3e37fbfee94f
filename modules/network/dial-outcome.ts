/** What became of one dial: how far it came, and the stable code of its failure. */
import type { DialAttempt } from './service.ts'

export type DialStage = DialAttempt['stage']

/** The stage that a libp2p progress event opens; `null` for events that open none. */
export function stageOf(progressType: string): DialStage | null {
  if (progressType === 'dial-queue:start-dial') return 'resolve'
  if (/^(tcp|websockets|circuit-relay):open-/.test(progressType)) return 'connect'
  if (progressType === 'upgrader:encrypt-outbound-connection') return 'secure'
  if (progressType === 'upgrader:multiplex-outbound-connection') return 'mux'
  return progressType === 'connection:opened' ? 'open' : null
}

/** Whether a relay is asked from now on to pass the connection on. */
export function asksRelay(progressType: string): boolean {
  return progressType === 'circuit-relay:read-connect-response'
}

export interface DialFailure {
  readonly error: unknown
  readonly stage: DialStage
  /** Whether the time for this address was over. */
  readonly isOverTime: boolean
  readonly hasClusterSecret: boolean
  /** Whether the address leads through a relay that was not asked yet: the way to the relay itself is what failed. */
  readonly isBeforeRelay: boolean
}

/** Always a code of `networkErrors` or `pathErrors`. */
export function codeOf(failure: DialFailure): string {
  if (failure.isBeforeRelay) return 'NZ_NETWORK_RELAY_UNREACHABLE'
  const { message } = failure.error instanceof Error ? failure.error : { message: '' }
  const [, status] = /failed to connect via relay with status (\w+)/.exec(message) ?? []
  if (status === 'RESOURCE_LIMIT_EXCEEDED') return 'NZ_NETWORK_RELAY_FULL'
  if (status === 'NO_RESERVATION') return 'NZ_NETWORK_RELAY_NO_PLACE'
  return status === undefined ? directCodeOf(failure) : 'NZ_NETWORK_RELAY_REFUSED'
}

function directCodeOf({ error, stage, isOverTime, hasClusterSecret }: DialFailure): string {
  const system = systemCodeOf(error)
  if (system === 'ECONNREFUSED') return 'NZ_NETWORK_REFUSED'
  if (system === 'EHOSTUNREACH' || system === 'EHOSTDOWN') return 'NZ_NETWORK_HOST_UNREACHABLE'
  if (system === 'ENOTFOUND' || system === 'EAI_AGAIN') return 'NZ_NETWORK_NAME_UNKNOWN'
  if (system !== null && noRoute.has(system)) return 'NZ_NETWORK_NO_ROUTE'
  if (system === 'ETIMEDOUT') return 'NZ_NETWORK_TIMEOUT'
  const { name, message } = error instanceof Error ? error : { name: '', message: '' }
  if (name === 'UnexpectedPeerError' || message.includes('does not match expected remote identity key'))
    return 'NZ_NETWORK_WRONG_PEER'
  if (name === 'ConnectionInterceptedError') return 'NZ_NETWORK_LIMITED'
  if (stage === 'resolve' || stage === 'connect') return isOverTime ? 'NZ_NETWORK_TIMEOUT' : 'NZ_NETWORK_CONNECT_FAILED'
  if (stage === 'secure' && hasClusterSecret) return 'NZ_NETWORK_PNET_MISMATCH'
  return isOverTime ? 'NZ_NETWORK_TIMEOUT' : 'NZ_NETWORK_HANDSHAKE_FAILED'
}

const noRoute = new Set(['ENETUNREACH', 'EADDRNOTAVAIL', 'ENETDOWN'])

/** The code of the operating system, also of the errors inside (Node tries several addresses of a name). */
function systemCodeOf(error: unknown, depth = 0): string | null {
  if (!(error instanceof Error) || depth > 4) return null
  if ('code' in error && typeof error.code === 'string' && /^E[A-Z_]+$/.test(error.code)) return error.code
  const inner: unknown[] = error instanceof AggregateError ? [...error.errors, error.cause] : [error.cause]
  for (const each of inner) {
    const code = systemCodeOf(each, depth + 1)
    if (code !== null) return code
  }
  return /\b(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH)\b/.exec(error.message)?.[1] ?? null
}
