/** The open channels of this node: how many there may be, and what each has done. */
import { channelsErrors } from './service.ts'
import type { Endpoint } from '../../protocols/channel/endpoint.ts'
import type { ChannelStatus } from './service.ts'

/** Channels that are open or being opened. */
export const MAX_CHANNELS = 1_024

export interface Entry {
  readonly endpoint: Endpoint
  readonly carrier: ChannelStatus['carrier']
  readonly openedAtMs: number
  readonly peerId: string
  txPackets: number
  rxPackets: number
  readonly refused: Map<string, number>
}

export class ChannelLedger {
  readonly #open = new Set<Entry>()
  #opening = 0

  /** Room for one more, until disposed of. @throws NZ_CHANNEL_LIMITED */
  reserve(): Disposable {
    if (this.#open.size + this.#opening >= MAX_CHANNELS) {
      throw channelsErrors.NZ_CHANNEL_LIMITED({ data: { channels: MAX_CHANNELS } })
    }
    this.#opening += 1
    return { [Symbol.dispose]: () => void (this.#opening -= 1) }
  }

  add(facts: Pick<Entry, 'endpoint' | 'carrier' | 'openedAtMs' | 'peerId'>): Entry {
    const entry: Entry = { ...facts, txPackets: 0, rxPackets: 0, refused: new Map() }
    this.#open.add(entry)
    return entry
  }

  remove(entry: Entry): void {
    this.#open.delete(entry)
  }

  list(): readonly ChannelStatus[] {
    return [...this.#open].flatMap(({ endpoint, carrier, openedAtMs, peerId, txPackets, rxPackets, refused }) => {
      const { session, epoch } = endpoint
      if (session === null) return []
      const { purpose, role, pattern } = session
      const counts = Object.fromEntries(refused)
      return [{ peerId, purpose, carrier, role, pattern, epoch, openedAtMs, txPackets, rxPackets, refused: counts }]
    })
  }
}

export function count(entry: Entry, code: string): void {
  entry.refused.set(code, (entry.refused.get(code) ?? 0) + 1)
}
