/** Programs that wait for one transfer of a name and take its bytes. */
import { transfersErrors } from './service.ts'
import { ConsumerSink } from './sink.ts'
import type { TransferProgress } from './progress.ts'
import type { ByteConsumer, TransferSnapshot } from './service.ts'

const MAX_LISTENERS = 256

export interface Listener {
  readonly name: string
  /** Peer id of the only one it takes from, or `null`. */
  readonly from: string | null
  readonly consumer: ByteConsumer
  readonly sink: ConsumerSink
  readonly result: PromiseWithResolvers<TransferSnapshot>
  /** The transfer it has begun to take; it takes no other. */
  taking: TransferProgress | null
}

export class Listeners {
  readonly #listeners = new Set<Listener>()

  /** @throws NZ_TRANSFERS_NAME_TAKEN */
  add(wanted: Pick<Listener, 'name' | 'from' | 'consumer'>): Listener {
    const { name, from } = wanted
    const isTaken = [...this.#listeners].some(
      (other) => other.name === name && other.taking === null && (other.from === null || other.from === from),
    )
    if (isTaken || this.#listeners.size >= MAX_LISTENERS) {
      throw transfersErrors.NZ_TRANSFERS_NAME_TAKEN({ data: { name } })
    }
    const result = Promise.withResolvers<TransferSnapshot>()
    const listener: Listener = { ...wanted, result, sink: new ConsumerSink(wanted.consumer), taking: null }
    this.#listeners.add(listener)
    return listener
  }

  /** Whose transfer that is. */
  taking(progress: TransferProgress): Listener | undefined {
    return [...this.#listeners].find((listener) => listener.taking === progress)
  }

  remove(listener: Listener): void {
    this.#listeners.delete(listener)
  }

  /** Who takes this transfer: the one that had begun with it, else one that waits for the name. */
  for(peerId: string, id: string, name: string): Listener | undefined {
    const all = [...this.#listeners]
    return (
      all.find(({ taking }) => taking?.id === id && taking.snapshot().peerId === peerId) ??
      all.find((one) => one.taking === null && one.name === name && (one.from === null || one.from === peerId))
    )
  }
}
