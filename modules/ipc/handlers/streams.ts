/** Handlers of the group `streams`. */
import type { streamsContract } from '../../../protocols/ipc/contract/streams.ts'
import type { Handlers } from '../../../protocols/ipc/endpoint.ts'
import type { AppStreams } from '../app-streams.ts'

export function streamsHandlers(streams: AppStreams): Handlers<typeof streamsContract> {
  return {
    async streamsOpen({ peer, protocol }, duplex, { signal }) {
      await streams.open(peer, protocol, duplex, { signal })
    },
    async streamsAccept({ protocol }, duplex, { signal }) {
      await streams.accept(protocol, duplex, { signal })
    },
  }
}
