/** Connections that come and go, as events. */
import { muxerOf } from './muxer/backend.ts'
import { describePath } from './paths.ts'
import { networkEvents } from './service.ts'
import type { Clock, EventBus } from '../../kernel/index.ts'
import type { PathsInit } from './paths.ts'

export function connectionEvents({
  clock,
  events,
}: {
  readonly clock: Clock
  readonly events: EventBus
}): Pick<PathsInit, 'onConnected' | 'onClosed'> {
  return {
    onConnected: (peerId, { connection }) =>
      events.emit(networkEvents.peerConnected, {
        peerId,
        address: connection.remoteAddr.toString(),
        direction: connection.direction,
        backend: muxerOf(connection).backend,
      }),
    onClosed: (peerId, path) => {
      const { address, backend, openedAtMs, txBytes, rxBytes, muxer } = describePath(path)
      const durationMs = Math.max(0, clock.nowMs() - openedAtMs)
      const counted = muxer && { ...muxer }
      const bytes = { txBytes, rxBytes }
      events.emit(networkEvents.connectionClosed, { peerId, address, backend, durationMs, ...bytes, muxer: counted })
    },
  }
}
