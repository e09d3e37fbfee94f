/** Finds nodes on the same LAN by multicast DNS: asks now and then, answers with this node's signed record. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { decodeLan, encodeAnswer, encodeQuestion, LAN_GROUP } from '../../protocols/discovery/lan.ts'
import type { Socket } from 'node:dgram'
import type { Clock, Logger, Timer } from '../../kernel/index.ts'
import type { RecordCode } from '../../protocols/discovery/errors.ts'
import type { DiscoveryRecord } from '../../protocols/discovery/record.ts'
import type { ContactCache, PeerContact } from './contact-cache.ts'

/** Between two answers: one is heard by everybody who asked meanwhile. */
const ANSWER_PAUSE_MS = 1_000
/** Peers of the LAN that are remembered. */
export const MAX_LAN_PEERS = 256
/** Records read a second; whoever floods the group is not read on. */
const MAX_READ_PER_SECOND = 64
/** Leading hexadecimal digits of the signer that name it on the LAN. */
const LABEL_LENGTH = 20

export interface LanServices {
  readonly clock: Clock
  readonly log: Logger
  readonly contacts: ContactCache
  readonly selfPeerId: string
  /** `null`: this node does not answer. */
  readonly ownRecord: () => DiscoveryRecord | null
  readonly onFound: (peer: PeerContact) => void
  readonly onRefused: (peerId: string, code: RecordCode) => void
}

export interface LanOptions {
  readonly port: number
  /** Address of the network interface; `undefined`: the system chooses. */
  readonly address: string | undefined
  readonly intervalMs: number
}

export class Lan {
  readonly #services: LanServices
  readonly #options: LanOptions
  /** Heard of longest ago first. */
  readonly #peers = new Map<string, PeerContact>()
  #socket: Socket | null = null
  #timer: Timer | null = null
  #answeredAtMs = -Infinity
  #answerLater: Timer | null = null
  #readSinceMs = -Infinity
  #read = 0

  constructor(services: LanServices, options: LanOptions) {
    this.#services = services
    this.#options = options
  }

  /** Where a peer of the LAN is; the signature of its record was verified. */
  addressesOf(peerId: string): readonly string[] {
    return this.#peers.get(peerId)?.addresses ?? []
  }

  /** @throws what the system says when the group cannot be joined */
  async start({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { port, address } = this.#options
    const socket = createSocket({ type: 'udp4', reuseAddr: true })
    this.#socket = socket
    socket.on('error', (error) => this.#services.log.warn('discovery.lanFailed', { error }))
    socket.on('message', (bytes) => this.#receive(bytes))
    socket.bind(port)
    await once(socket, 'listening', { signal })
    socket.addMembership(LAN_GROUP, address)
    if (address !== undefined) socket.setMulticastInterface(address)
    socket.setMulticastTTL(255)
    socket.setMulticastLoopback(true)
    this.#ask()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#answerLater?.cancel()
    this.#socket?.close()
    this.#socket = null
  }

  #ask(): void {
    this.#send(encodeQuestion())
    this.#timer = this.#services.clock.setTimer(this.#options.intervalMs, () => this.#ask(), { unref: true })
  }

  #receive(bytes: Uint8Array): void {
    const message = decodeLan(bytes)
    if (message.kind === 'question') this.#answerSoon()
    if (message.kind !== 'answer') return
    for (const record of message.records) {
      if (!this.#mayRead()) return
      this.#learn(record)
    }
  }

  #learn(bytes: Uint8Array): void {
    const { contacts, selfPeerId, onFound, onRefused } = this.#services
    const contact = contacts.readVerified(bytes)
    if (typeof contact === 'string') return onRefused('lan', contact)
    if (contact.peerId === selfPeerId || contact.addresses.length === 0) return
    const known = this.#peers.get(contact.peerId)
    if (known !== undefined && known.record.sequence >= contact.record.sequence) return
    this.#peers.delete(contact.peerId)
    this.#peers.set(contact.peerId, contact)
    const oldest = this.#peers.keys().next()
    if (this.#peers.size > MAX_LAN_PEERS && oldest.done !== true) this.#peers.delete(oldest.value)
    onFound(contact)
  }

  /** At once, or when the pause after the last answer is over. */
  #answerSoon(): void {
    const { clock } = this.#services
    if (this.#answerLater !== null) return
    const waitMs = Math.max(0, this.#answeredAtMs + ANSWER_PAUSE_MS - clock.monotonicMs())
    this.#answerLater = clock.setTimer(
      waitMs,
      () => {
        this.#answerLater = null
        this.#answeredAtMs = clock.monotonicMs()
        const own = this.#services.ownRecord()
        if (own !== null) this.#send(encodeAnswer(own.signer.slice(0, LABEL_LENGTH), own.bytes))
      },
      { unref: true },
    )
  }

  #mayRead(): boolean {
    const nowMs = this.#services.clock.monotonicMs()
    if (nowMs - this.#readSinceMs >= 1_000) {
      this.#readSinceMs = nowMs
      this.#read = 0
    }
    this.#read += 1
    return this.#read <= MAX_READ_PER_SECOND
  }

  #send(bytes: Uint8Array): void {
    this.#socket?.send(bytes, this.#options.port, LAN_GROUP, (error) => {
      if (error !== null) this.#services.log.debug('discovery.lanNotSent', { error })
    })
  }
}
