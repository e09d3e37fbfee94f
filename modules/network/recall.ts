/** What an earlier run had learnt of peers. */
import type { Logger } from '../../kernel/index.ts'
import type { PeerBook } from './peer-book.ts'
import type { Swarm } from './transport-dials.ts'

/** Takes it over into the book. */
export async function recall(swarm: Swarm, book: PeerBook): Promise<void> {
  for (const { id, addresses, metadata } of await swarm.peerStore.all()) {
    const agent = metadata.get('AgentVersion')
    book.learnClaims(id.toString(), {
      addresses: addresses.map(({ multiaddr }) => multiaddr.toString()),
      agent: agent === undefined ? null : Buffer.from(agent).toString('utf8'),
    })
  }
}

/** Our book has forgotten the peer; libp2p's has no bound of its own. */
export async function forgetPeer(swarm: Swarm | null, peerId: string, log: Logger): Promise<void> {
  try {
    const { peerIdFromString } = await import('@libp2p/peer-id')
    await swarm?.peerStore.delete(peerIdFromString(peerId))
  } catch (error) {
    log.debug('network.peerNotForgotten', { peerId, error })
  }
}
