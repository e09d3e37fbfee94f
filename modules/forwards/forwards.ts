/** The forwards service: what is set up, what runs of it, and what is counted. */
import { isIP } from 'node:net'
import { isNzError } from '../../kernel/index.ts'
import { isServiceName } from '../../protocols/forward/header.ts'
import type { TrustService } from '../trust/service.ts'
import type { EventBus, Logger, Random } from '../../kernel/index.ts'
import type { PeerStream } from '../network/service.ts'
import { serveForward } from './exposer.ts'
import type { Offer } from './exposer.ts'
import type { ForwardList, StoredForward } from './forward-list.ts'
import { LocalListener } from './local-listener.ts'
import type { LocalListenerServices } from './local-listener.ts'
import { forwardsErrors, forwardsEvents } from './service.ts'
import type { ExposedForward, Forward, ForwardsService, LocalForward } from './service.ts'
import { Tally } from './tally.ts'

export interface ForwardsServices extends LocalListenerServices {
  readonly list: ForwardList
  readonly trust: Pick<TrustService, 'may'>
  readonly events: EventBus
  readonly log: Logger
  readonly random: Random
}

/** One forward that runs. */
interface Running {
  readonly tally: Tally
  readonly ended: AbortController
  /** `null`: it is exposed, or its port could not be listened on. */
  readonly listener: LocalListener | null
}

type StoredLocal = StoredForward & { kind: 'local' }
type StoredExposed = StoredForward & { kind: 'exposed' }

export class Forwards implements ForwardsService {
  readonly #services: ForwardsServices
  /** By forward id: bounded by the list. */
  readonly #running = new Map<string, Running>()

  constructor(services: ForwardsServices) {
    this.#services = services
  }

  /** A peer that is no contact any more is allowed nothing, also when it is introduced again later. */
  async forget(isGone: (peerId: string) => boolean): Promise<void> {
    await this.#services.list.forget(isGone)
  }

  /** Takes up what is set up and does not run yet. A port that is taken fails that forward alone. */
  async start(): Promise<void> {
    for (const stored of this.#services.list.all()) {
      if (this.#running.has(stored.forwardId)) continue
      if (stored.kind === 'exposed') this.#offer(stored)
      else await this.#resume(stored)
    }
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#running.keys()].map(async (forwardId) => await this.#end(forwardId)))
  }

  async serve(stream: PeerStream, options: { readonly signal: AbortSignal }): Promise<void> {
    const { contacts, trust, clock, log, events } = this.#services
    await serveForward(
      stream,
      {
        contacts,
        trust,
        clock,
        log,
        offer: (service) => this.#offered(service),
        onRefused: (peerId, service, code) => events.emit(forwardsEvents.refused, { peerId, service, code }),
      },
      options,
    )
  }

  /** Forwards whose port could not be listened on. */
  failed(): readonly Forward[] {
    return this.list().filter((forward) => forward.kind === 'local' && forward.state === 'failed')
  }

  list(): readonly Forward[] {
    return this.#services.list.all().map((stored) => this.#view(stored))
  }

  async forward(options: Parameters<ForwardsService['forward']>[0]): Promise<LocalForward> {
    const { list, events } = this.#services
    checkService(options.service)
    if (isIP(options.host) === 0) throw forwardsErrors.NZ_FORWARD_INVALID({ why: 'listen on an IP address' })
    this.#services.contacts.resolve(options.peerId)
    const tally = new Tally()
    const listener = new LocalListener(this.#services, { ...options, tally })
    const port = await listener.listen(options.host, options.port)
    const stored: StoredLocal = { kind: 'local', forwardId: this.#newId(), ...options, port }
    try {
      await list.add(stored)
    } catch (error) {
      await listener.close()
      throw error
    }
    this.#running.set(stored.forwardId, { tally, listener, ended: new AbortController() })
    events.emit(forwardsEvents.added, { forwardId: stored.forwardId, kind: 'local', service: stored.service })
    return this.#viewLocal(stored)
  }

  async expose(options: Parameters<ForwardsService['expose']>[0]): Promise<ExposedForward> {
    const { list, events } = this.#services
    checkService(options.service)
    const { allow, ...rest } = options
    const stored: StoredExposed = {
      kind: 'exposed',
      forwardId: this.#newId(),
      ...rest,
      allow: allow === null ? null : [...new Set(allow)],
    }
    await list.add(stored)
    this.#offer(stored)
    events.emit(forwardsEvents.added, { forwardId: stored.forwardId, kind: 'exposed', service: stored.service })
    return this.#viewExposed(stored)
  }

  async stop(reference: string): Promise<Forward> {
    const { list, events } = this.#services
    const stored = await list.remove(reference)
    const view = this.#view(stored)
    await this.#end(stored.forwardId)
    events.emit(forwardsEvents.removed, { forwardId: stored.forwardId, service: stored.service })
    return view
  }

  #offer(stored: StoredExposed): void {
    this.#running.set(stored.forwardId, { tally: new Tally(), listener: null, ended: new AbortController() })
  }

  #offered(service: string): Offer | undefined {
    const stored = this.#services.list.exposed(service)
    const running = stored === undefined ? undefined : this.#running.get(stored.forwardId)
    if (stored === undefined || running === undefined) return undefined
    const { host, port, allow } = stored
    return { host, port, allow, tally: running.tally, signal: running.ended.signal }
  }

  async #resume(stored: StoredLocal): Promise<void> {
    const tally = new Tally()
    const listener = new LocalListener(this.#services, { ...stored, tally })
    const ended = new AbortController()
    try {
      await listener.listen(stored.host, stored.port)
      this.#running.set(stored.forwardId, { tally, listener, ended })
    } catch (error) {
      tally.lastCode = isNzError(error) ? error.code : 'NZ_FORWARD_PORT_DENIED'
      this.#running.set(stored.forwardId, { tally, listener: null, ended })
      this.#services.log.error('forwards.portNotListening', { forwardId: stored.forwardId, error })
    }
  }

  async #end(forwardId: string): Promise<void> {
    const running = this.#running.get(forwardId)
    this.#running.delete(forwardId)
    running?.ended.abort()
    await running?.listener?.close()
  }

  #view(stored: StoredForward): Forward {
    return stored.kind === 'local' ? this.#viewLocal(stored) : this.#viewExposed(stored)
  }

  #viewLocal(stored: StoredLocal): LocalForward {
    const running = this.#running.get(stored.forwardId)
    const state = running?.listener === null || running === undefined ? 'failed' : 'listening'
    return { ...stored, state, ...(running?.tally ?? new Tally()).view() }
  }

  #viewExposed(stored: StoredExposed): ExposedForward {
    return { ...stored, ...(this.#running.get(stored.forwardId)?.tally ?? new Tally()).view() }
  }

  #newId(): string {
    return `fwd_${Buffer.from(this.#services.random.bytes(4)).toString('hex')}`
  }
}

function checkService(service: string): void {
  if (!isServiceName(service)) {
    throw forwardsErrors.NZ_FORWARD_INVALID({ why: 'that is no service name', data: { service: service.slice(0, 64) } })
  }
}
