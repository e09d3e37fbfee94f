/** Peers that no connection leads to: how they are reached all the same, when somebody knows a way. */
import { deadline } from '../../kernel/index.ts'
import { networkErrors, networkEvents } from './service.ts'
import type { Clock, EventBus } from '../../kernel/index.ts'
import type { OpenPath } from './paths.ts'
import type { Detour, DetourEnd, PeerPath, PeerStream } from './service.ts'

/** What a direct connection is given before the way around is taken; it is tried on meanwhile. */
const DIRECT_FIRST_MS = 1_500

export interface DetoursInit {
  readonly clock: Clock
  readonly events: EventBus
  /** By a connection. */
  readonly isConnected: (peerId: string) => boolean
  readonly isRefused: (peerId: string) => boolean
  readonly serve: DetourEnd['serve']
}

export class Detours {
  readonly #init: DetoursInit
  #detour: Detour | null = null

  constructor(init: DetoursInit) {
    this.#init = init
  }

  use(detour: Detour, { signal }: { readonly signal: AbortSignal }): DetourEnd {
    if (this.#detour !== null) throw new Error('there is a detour already')
    this.#detour = detour
    signal.addEventListener('abort', () => (this.#detour = null), { once: true })
    const { events, isConnected, isRefused, serve } = this.#init
    return {
      serve: (stream) => (isRefused(stream.peerId) ? 'refused' : serve(stream)),
      reached(peerId, { address, direction, backend }) {
        if (!isConnected(peerId)) events.emit(networkEvents.peerConnected, { peerId, address, direction, backend })
      },
      left(peerId) {
        if (!isConnected(peerId)) events.emit(networkEvents.peerDisconnected, { peerId })
      },
    }
  }

  reaches(peerId: string, protocol?: string): boolean {
    return this.#detour?.reaches(peerId, protocol) === true && !this.#init.isRefused(peerId)
  }

  peerIds(): readonly string[] {
    return this.#detour?.peerIds() ?? []
  }

  paths(peerId: string): readonly PeerPath[] {
    return this.#detour?.paths(peerId) ?? []
  }

  rttMs(peerId: string): number | null {
    return this.#detour?.rttMs(peerId) ?? null
  }

  drop(peerId: string): void {
    this.#detour?.drop(peerId)
  }

  async openStream(peerId: string, protocol: string, options: { readonly signal: AbortSignal }): Promise<PeerStream> {
    if (this.#init.isRefused(peerId)) throw networkErrors.NZ_NETWORK_BLOCKED({ data: { peerId } })
    if (this.#detour === null) throw networkErrors.NZ_NETWORK_NOT_CONNECTED({ data: { peerId } })
    return await this.#detour.openStream(peerId, protocol, options)
  }

  /**
   * The connection that `dial` brings; `undefined` when the way around is to be taken: because the dial failed, or is
   * not done in time, or the way is in use already. Without a way around it is as `dial` says.
   */
  async orDirect(
    peerId: string,
    dial: () => Promise<OpenPath | undefined>,
    { protocol, signal }: { readonly protocol?: string; readonly signal: AbortSignal },
  ): Promise<OpenPath | undefined> {
    if (!this.reaches(peerId, protocol)) return await dial()
    if (this.paths(peerId).length > 0) return undefined
    const dialling = dial().catch((error: unknown) => {
      signal.throwIfAborted()
      if (!this.reaches(peerId, protocol)) throw error
      return undefined
    })
    using limit = deadline(this.#init.clock, DIRECT_FIRST_MS, { signal })
    const { promise, resolve } = Promise.withResolvers<undefined>()
    limit.signal.addEventListener('abort', () => resolve(undefined), { once: true })
    // Nobody waits for the dial any more when it is late; the next stream uses what it brings.
    dialling.catch(() => undefined)
    const path = await Promise.race([dialling, promise])
    signal.throwIfAborted()
    return path
  }
}
