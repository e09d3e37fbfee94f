/** Why a stream could not be opened, as an error of the catalogue. */
import { networkErrors } from './service.ts'

export function openError(cause: unknown, context: { peerId: string; protocol: string; signal: AbortSignal }): unknown {
  const { signal, ...data } = context
  if (signal.aborted) return signal.reason
  const name = cause instanceof Error ? cause.name : ''
  if (name === 'UnsupportedProtocolError') return networkErrors.NZ_NETWORK_PROTOCOL_UNKNOWN({ cause, data })
  if (name === 'TooManyOutboundProtocolStreamsError') return networkErrors.NZ_NETWORK_LIMITED({ cause, data })
  return networkErrors.NZ_NETWORK_STREAM_RESET({ cause, data })
}
