/** Payloads over an open endpoint on a path of packets: lost with them, never repeated. */
import { MAX_PAYLOAD_BYTES } from '../../protocols/channel/limits.ts'
import { OVERHEAD_BYTES } from '../../protocols/channel/packet.ts'
import { count } from './ledger.ts'
import { channelsErrors } from './service.ts'
import { refusalOf } from './opening.ts'
import type { Clock, Timer } from '../../kernel/index.ts'
import type { Endpoint, EndpointStep, Session } from '../../protocols/channel/endpoint.ts'
import type { Admission } from '../../protocols/handshake/gate.ts'
import type { ChannelLedger, Entry } from './ledger.ts'
import type { PacketChannel, PacketPath } from './service.ts'

/** Payloads kept for a handler that is not there yet; beyond it they are lost, as the path may lose them. */
export const MAX_EARLY_PAYLOADS = 64

export interface PathInit {
  readonly endpoint: Endpoint
  readonly path: PacketPath
  readonly clock: Clock
  readonly ledger: ChannelLedger
  /** Told once; gives the peer's id. */
  readonly onOpen: (session: Session) => string
  /** Of a responder: whether a HELLO may begin a handshake. */
  readonly admit: ((packet: Uint8Array, nowMs: number) => Admission) | null
  readonly onEnd: (channel: PathPacketChannel) => void
}

export class PathPacketChannel implements PacketChannel {
  readonly #init: PathInit
  readonly #ended = new AbortController()
  readonly #opening = Promise.withResolvers<void>()
  #entry: Entry | null = null
  #handler: ((payload: Uint8Array) => void) | null = null
  #early: Uint8Array[] = []
  #timer: Timer | null = null
  #release: (() => void) | null = null

  constructor(init: PathInit) {
    this.#init = init
  }

  get peerId(): string {
    return this.#entry?.peerId ?? ''
  }

  get purpose(): string {
    return this.#init.endpoint.session?.purpose ?? ''
  }

  get features(): readonly string[] {
    return this.#init.endpoint.session?.features ?? []
  }

  get signal(): AbortSignal {
    return this.#ended.signal
  }

  get epoch(): number {
    return this.#init.endpoint.epoch
  }

  get maxPayloadBytes(): number {
    return Math.min(this.#init.path.maxPacketBytes - OVERHEAD_BYTES, MAX_PAYLOAD_BYTES)
  }

  /** Runs the handshake. @throws NZ_HANDSHAKE_…, NZ_CHANNEL_ENDED */
  async open({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { path, clock, endpoint } = this.#init
    const onAbort = (): void => this.#fail(signal.reason as Error)
    signal.addEventListener('abort', onAbort, { once: true })
    path.signal.addEventListener('abort', () => this.#fail(channelsErrors.NZ_CHANNEL_ENDED()), {
      once: true,
      signal: this.signal,
    })
    path.onPacket((packet) => this.#onPacket(packet))
    try {
      signal.throwIfAborted()
      if (path.signal.aborted) throw channelsErrors.NZ_CHANNEL_ENDED()
      this.#act(endpoint.due(clock.monotonicMs()))
      await this.#opening.promise
    } finally {
      signal.removeEventListener('abort', onAbort)
      if (this.#entry === null) this.#end()
    }
  }

  send(payload: Uint8Array): boolean {
    const { endpoint, path, clock } = this.#init
    if (this.#entry === null || this.signal.aborted || payload.byteLength > this.maxPayloadBytes) return false
    const sealed = endpoint.seal(payload, clock.monotonicMs())
    if ('refused' in sealed) {
      count(this.#entry, sealed.refused)
      return false
    }
    this.#entry.txPackets += 1
    const isSent = path.send(sealed.packet)
    if ((endpoint.dueAtMs ?? Infinity) <= clock.monotonicMs()) this.#act(endpoint.due(clock.monotonicMs()))
    return isSent
  }

  onPayload(handler: (payload: Uint8Array) => void): void {
    this.#handler = handler
    for (const payload of this.#early.splice(0)) handler(payload)
  }

  async close(): Promise<void> {
    const { endpoint, path } = this.#init
    if (this.signal.aborted) return await Promise.resolve()
    for (const packet of endpoint.close()) path.send(packet)
    this.#end()
  }

  #onPacket(packet: Uint8Array): void {
    if (this.signal.aborted) return
    const { endpoint, clock, admit, path } = this.#init
    const nowMs = clock.monotonicMs()
    if (admit !== null && this.#release === null) {
      const admission = admit(packet, nowMs)
      if ('refused' in admission) {
        for (const answer of admission.send) path.send(answer)
        return
      }
      this.#release = admission.release
    }
    this.#act(endpoint.receive(packet, nowMs))
  }

  #act({ send, payload, opened, refused, failed, isClosed }: EndpointStep): void {
    const { endpoint, clock, path, ledger, onOpen } = this.#init
    for (const packet of send) path.send(packet)
    if (failed !== undefined) return this.#fail(refusalOf(failed))
    if (opened !== undefined) {
      const facts = { endpoint, carrier: 'packets', openedAtMs: clock.nowMs(), peerId: onOpen(opened) } as const
      this.#entry = ledger.add(facts)
      this.#release?.()
      this.#opening.resolve()
    }
    if (this.#entry !== null) {
      this.#entry.txPackets += send.length
      if (refused === undefined) this.#entry.rxPackets += 1
      else count(this.#entry, refused)
    }
    if (payload !== undefined) this.#deliver(payload)
    if (isClosed === true || endpoint.state === 'expired') return this.#end()
    this.#schedule()
  }

  #deliver(payload: Uint8Array): void {
    if (this.#handler !== null) this.#handler(payload)
    else if (this.#early.length < MAX_EARLY_PAYLOADS) this.#early.push(payload)
  }

  #schedule(): void {
    const { endpoint, clock } = this.#init
    this.#timer?.cancel()
    const dueAtMs = endpoint.dueAtMs
    if (dueAtMs === null || this.signal.aborted) return
    const delayMs = Math.max(0, dueAtMs - clock.monotonicMs())
    this.#timer = clock.setTimer(delayMs, () => this.#act(endpoint.due(clock.monotonicMs())), { unref: true })
  }

  #fail(error: Error): void {
    this.#opening.reject(error)
    if (this.#entry !== null) this.#end()
  }

  #end(): void {
    if (this.signal.aborted) return
    this.#timer?.cancel()
    this.#release?.()
    this.#init.endpoint.close()
    this.#early = []
    if (this.#entry !== null) this.#init.ledger.remove(this.#entry)
    this.#ended.abort()
    this.#init.onEnd(this)
  }
}
