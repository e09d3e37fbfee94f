/** Which peers the contacts module asks the network to stay connected to. */
import type { NetworkService } from '../network/service.ts'

export class KeptConnections {
  readonly #network: Pick<NetworkService, 'keep'>
  /** One entry per contact: bounded by the address book. */
  readonly #holds = new Map<string, { release(): void }>()

  constructor(network: Pick<NetworkService, 'keep'>) {
    this.#network = network
  }

  /** Keeps the peer connected, from now on through these addresses. */
  keep(peerId: string, addresses: readonly string[]): void {
    const before = this.#holds.get(peerId)
    this.#holds.set(peerId, this.#network.keep(peerId, addresses))
    before?.release()
  }

  release(peerId: string): void {
    this.#holds.get(peerId)?.release()
    this.#holds.delete(peerId)
  }

  releaseAll(): void {
    for (const peerId of this.#holds.keys()) this.release(peerId)
  }
}
