/**
 * libp2p's relay transport: dials through relays and takes what relays bring. Reservations are ours (reservations.ts),
 * so what it keeps of its own about them is switched off.
 */
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'

/** @throws when the library's transport is not what it was */
export function relayTransport(): ReturnType<typeof circuitRelayTransport> {
  const create = circuitRelayTransport({ maxInboundStopStreams: 64, maxOutboundStopStreams: 64 })
  return (components) => {
    const transport = create(components)
    const store: unknown = Reflect.get(transport, 'reservationStore')
    if (typeof store !== 'object' || store === null || !('hasReservation' in store))
      throw new TypeError('the relay transport keeps no reservations')
    // It would make a reservation at every relay that brings a connection without one; the gater refuses those.
    Object.assign(store, { hasReservation: () => true })
    return transport
  }
}
