/** Connections that a change of trust no longer allows are closed. */
import { deadline } from '../../kernel/index.ts'
import { trustEvents } from './service.ts'
import type { Clock, EventBus, Logger } from '../../kernel/index.ts'
import type { NetworkService } from '../network/service.ts'
import type { TrustService } from './service.ts'

const HANG_UP_TIMEOUT_MS = 5_000

export interface HangUpServices extends Pick<TrustService, 'may'> {
  readonly network: Pick<NetworkService, 'peers' | 'disconnect'>
  readonly events: EventBus
  readonly clock: Clock
  readonly log: Logger
}

/** After each change, until `signal` aborts. A revocation by one issuer can change what others' words are worth. */
export function hangUpOnRevoked(services: HangUpServices, { signal }: { readonly signal: AbortSignal }): void {
  const { network, events, clock, log, may } = services
  const check = async (): Promise<void> => {
    for (const { peerId, state } of network.peers()) {
      if (state !== 'connected' || may(peerId, 'connect')) continue
      using limit = deadline(clock, HANG_UP_TIMEOUT_MS, { signal })
      try {
        await network.disconnect(peerId, { signal: limit.signal })
        log.info('trust.hungUp', { peerId })
      } catch (error) {
        log.warn('trust.notHungUp', { peerId, error })
      }
    }
  }
  events.on(trustEvents.changed, check, { signal })
  events.on(trustEvents.forked, check, { signal })
}
