/** From a stream to an open endpoint: frames of the handshake until each side has seen a packet of the other. */
import { deadline } from '../../kernel/index.ts'
import { HANDSHAKE_TIMEOUT_MS } from '../../protocols/handshake/limits.ts'
import { channelErrors, channelsErrors, handshakeErrors } from './service.ts'
import type { Clock, NzError } from '../../kernel/index.ts'
import type { ChannelCode } from '../../protocols/channel/errors.ts'
import type { Endpoint, EndpointStep, Session } from '../../protocols/channel/endpoint.ts'
import type { HandshakeCode } from '../../protocols/handshake/errors.ts'
import type { StreamCarrier } from './stream-carrier.ts'

/** After these an initiator goes on to its next pattern on the same stream. */
const goesOn: ReadonlySet<string> = new Set<HandshakeCode>(['NZ_HANDSHAKE_KEY', 'NZ_HANDSHAKE_TICKET'])

export interface Opened {
  readonly session: Session
  /** What came with the packet that opened it. */
  readonly first: EndpointStep
}

/** @throws NZ_HANDSHAKE_…, NZ_CHANNEL_ENDED, NZ_NETWORK_STREAM_RESET */
export async function openOverStream(
  endpoint: Endpoint,
  carrier: StreamCarrier,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<Opened> {
  using limit = deadline(clock, HANDSHAKE_TIMEOUT_MS, { signal, reason: () => handshakeErrors.NZ_HANDSHAKE_TIMEOUT() })
  const write = async (step: EndpointStep): Promise<void> => await carrier.write(step.send, { signal: limit.signal })
  const begun = endpoint.due(clock.monotonicMs())
  await write(begun)
  for (;;) {
    const frame = await carrier.readFrame({ signal: limit.signal })
    if (frame === null) throw channelsErrors.NZ_CHANNEL_ENDED()
    const step = endpoint.receive(frame, clock.monotonicMs())
    if (step.opened !== undefined) return { session: step.opened, first: step }
    await write(step)
    const code = step.failed ?? step.refused
    if (code !== undefined && !goesOn.has(code)) throw refusalOf(code)
  }
}

export function refusalOf(code: HandshakeCode | ChannelCode): NzError {
  return code in handshakeErrors ? handshakeErrors[code as HandshakeCode]() : channelErrors[code as ChannelCode]()
}
