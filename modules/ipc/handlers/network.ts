/** Handlers of the group `network`. */
import type { networkContract } from '../../../protocols/ipc/contract/network.ts'
import type { Handlers } from '../../../protocols/ipc/endpoint.ts'
import type { NetworkService } from '../../network/service.ts'

export function networkHandlers({ network }: { network: NetworkService }): Handlers<typeof networkContract> {
  return {
    async peersList({ limit }) {
      const peers = network.peers().slice(0, limit)
      return { peers: peers.map(({ peerId, rttMs }) => ({ peerId, rttMs })) }
    },
  }
}
