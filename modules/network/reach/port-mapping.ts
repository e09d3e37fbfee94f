/** A port of the router for the listening port of this node: asked for, renewed at half its time, given back. */
import { deadline, sleep } from '../../../kernel/index.ts'
import { isPublic } from '../public-hosts.ts'
import { addressTowards, defaultGateway } from './gateway.ts'
import { natPmpMapper, pcpMapper } from './port-mapper.ts'
import { UpnpMapper } from './upnp-mapper.ts'
import type { Clock, Logger, Random } from '../../../kernel/index.ts'
import type { MappingProtocol } from './mapping-protocols.ts'
import type { MapOutcome, MapRequest, PortMapper } from './port-mapper.ts'
import type { PortMappingState } from './report.ts'

const RETRY_MS = 300_000
/** A lifetime that ends sooner is renewed no more often than this. */
const MIN_RENEWAL_MS = 1_000
const GIVE_BACK_TIMEOUT_MS = 1_000

export interface PortMappingServices {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** The TCP port this node listens at on IPv4; `null` when it does not. */
  readonly port: () => number | null
  /** IPv4 address of the router; `null` when there is none. */
  readonly gateway?: () => Promise<string | null>
  readonly mappers?: readonly PortMapper[]
}

export interface PortMappingOptions {
  /** Asked in this order, until the router gives a port by one. */
  readonly protocols: readonly MappingProtocol[]
  /** How long a mapping is asked for. */
  readonly lifetimeS: number
}

export class PortMapping {
  readonly #services: PortMappingServices
  readonly #options: PortMappingOptions
  readonly #mappers: readonly PortMapper[]
  readonly #stopped = new AbortController()
  #state: PortMappingState = { state: 'trying', protocol: null, address: null, why: 'no router was asked yet' }
  #held: { readonly mapper: PortMapper; readonly request: MapRequest } | null = null
  #run: Promise<void> = Promise.resolve()

  constructor(services: PortMappingServices, options: PortMappingOptions) {
    this.#services = services
    this.#options = options
    const all = services.mappers ?? [pcpMapper(services), natPmpMapper(services), new UpnpMapper(services)]
    this.#mappers = options.protocols.flatMap((protocol) => all.filter((mapper) => mapper.protocol === protocol))
  }

  start(): void {
    this.#run = this.#keep()
  }

  get state(): PortMappingState {
    return this.#state
  }

  /** Gives the port back; bounded. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#run
    const held = this.#held
    this.#held = null
    if (held === null) return
    using limit = deadline(this.#services.clock, GIVE_BACK_TIMEOUT_MS)
    await held.mapper.unmap(held.request, limit.signal).catch(() => undefined)
  }

  async #keep(): Promise<void> {
    const { clock, log } = this.#services
    const { signal } = this.#stopped
    while (!signal.aborted) {
      let waitMs = RETRY_MS
      try {
        const lifetimeS = await this.#map(signal)
        if (lifetimeS !== null) waitMs = Math.max(MIN_RENEWAL_MS, (lifetimeS * 1_000) / 2)
      } catch (error) {
        if (signal.aborted) return
        log.debug('network.portNotMapped', { error })
        this.#failed(String(error))
      }
      await sleep(clock, waitMs, { signal }).catch(() => undefined)
    }
  }

  /** Seconds the mapping lasts; `null` when there is none, `state` says why. */
  async #map(signal: AbortSignal): Promise<number | null> {
    const { port: portOf, gateway: gatewayOf = defaultGateway } = this.#services
    const [port, gateway] = [portOf(), await gatewayOf()]
    if (port === null) return this.#failed('this node listens at no TCP port of IPv4')
    if (gateway === null || isPublic(gateway)) return this.#failed('this machine has no router with a private address')
    const { lifetimeS } = this.#options
    const clientAddress = await addressTowards(gateway)
    const request: MapRequest = { gateway, clientAddress, port, outsidePort: port, lifetimeS }
    const refusals: string[] = []
    const held = this.#held?.mapper
    // What has worked is asked first; the others would take the port a second time.
    for (const mapper of held === undefined
      ? this.#mappers
      : [held, ...this.#mappers.filter((each) => each !== held)]) {
      const outcome = await mapper.map(request, signal)
      if (signal.aborted && outcome.state !== 'mapped') return null
      if (outcome.state === 'mapped') return this.#got(mapper, request, outcome)
      if (outcome.state === 'refused') refusals.push(outcome.why)
    }
    this.#held = null
    const names = this.#mappers.map(({ name }) => name).join(' nor ')
    return this.#failed(
      refusals.length > 0 ? `the router ${refusals.join('; ')}` : `the router speaks neither ${names}`,
    )
  }

  #got(mapper: PortMapper, request: MapRequest, outcome: Extract<MapOutcome, { state: 'mapped' }>): number {
    const { outsideAddress, outsidePort, lifetimeS } = outcome
    this.#held = { mapper, request: { ...request, outsidePort } }
    // A router may name a longer time than it was asked for, and mean it; it is asked as often all the same.
    const renewableS = Math.min(lifetimeS, request.lifetimeS)
    if (!isPublic(outsideAddress)) {
      this.#failed('the router is itself behind a NAT: its outside address is private')
      return renewableS
    }
    const address = `/ip4/${outsideAddress}/tcp/${outsidePort}`
    if (this.#state.address !== address) this.#services.log.info('network.portMapped', { address, by: mapper.name })
    const why = `the router maps the port by ${mapper.name}`
    this.#state = { state: 'mapped', protocol: mapper.protocol, address, why }
    return renewableS
  }

  #failed(why: string): null {
    this.#state = { state: 'failed', protocol: null, address: null, why }
    return null
  }
}
