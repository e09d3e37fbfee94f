/** The peers this node has to do with, as others see them: put together from connections, ways around, wishes, memory. */
import { describePath } from './paths.ts'
import type { Detours } from './detours.ts'
import type { Keeper } from './keeper.ts'
import type { Paths } from './paths.ts'
import type { PeerBook } from './peer-book.ts'
import type { Peer, PeerPath } from './service.ts'

export interface RosterInit {
  readonly paths: Paths
  readonly book: PeerBook
  readonly keeper: Keeper
  readonly detours: Detours
}

export class Roster {
  readonly #init: RosterInit

  constructor(init: RosterInit) {
    this.#init = init
  }

  peers(): readonly Peer[] {
    const { paths, book, keeper, detours } = this.#init
    const ids = new Set([...paths.peerIds(), ...detours.peerIds(), ...keeper.peerIds(), ...book.peerIds()])
    return [...ids].map((peerId) => this.describe(peerId))
  }

  /** `undefined`: this node has never met it. */
  peer(peerId: string): Peer | undefined {
    const { book, keeper } = this.#init
    const isKnown = this.#pathsOf(peerId).length > 0 || keeper.isKept(peerId) || book.peerIds().includes(peerId)
    return isKnown ? this.describe(peerId) : undefined
  }

  describe(peerId: string): Peer {
    const { book, keeper, detours } = this.#init
    const paths = this.#pathsOf(peerId)
    const isKept = keeper.isKept(peerId)
    return {
      peerId,
      state: paths.length > 0 ? 'connected' : isKept ? 'reconnecting' : 'disconnected',
      rttMs: book.rttMs(peerId) ?? detours.rttMs(peerId),
      connectedAtMs: paths.length === 0 ? null : Math.min(...paths.map(({ openedAtMs }) => openedAtMs)),
      paths,
      agent: book.agent(peerId),
      isKept,
    }
  }

  /** Its connections, the one in use first; without any, the way around that is in use. */
  #pathsOf(peerId: string): readonly PeerPath[] {
    const { paths, detours } = this.#init
    const best = paths.best(peerId)
    const others = paths.of(peerId).filter((path) => path !== best)
    const open = best === undefined ? others : [best, ...others]
    return open.length > 0 ? open.map(describePath) : detours.paths(peerId)
  }
}
