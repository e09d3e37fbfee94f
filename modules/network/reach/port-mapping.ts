/** A port of the router for the listening port of this node: asked for by NAT-PMP, renewed at half its time, given back. */
import { createSocket } from 'node:dgram'
import { readFile } from 'node:fs/promises'
import { deadline, sleep } from '../../../kernel/index.ts'
import {
  askAddress,
  askTcpMapping,
  decodeAnswer,
  GATEWAY_PORT,
  LIFETIME_S,
} from '../../../protocols/portmapping/nat-pmp.ts'
import { isPrivate } from '../address.ts'
import type { Clock, Logger } from '../../../kernel/index.ts'
import type { Answer } from '../../../protocols/portmapping/nat-pmp.ts'
import type { PortMappingState } from './report.ts'

/** RFC 6886 §3.1: the first wait for an answer, doubled with each try. */
const FIRST_WAIT_MS = 250
const TRIES = 5
const RETRY_MS = 300_000
const GIVE_BACK_TIMEOUT_MS = 1_000

export interface PortMappingServices {
  readonly clock: Clock
  readonly log: Logger
  /** The TCP port this node listens at on IPv4; `null` when it does not. */
  readonly port: () => number | null
  /** IPv4 address of the router; `null` when there is none. */
  readonly gateway?: () => Promise<string | null>
}

export class PortMapping {
  readonly #services: PortMappingServices
  readonly #stopped = new AbortController()
  #state: PortMappingState = { state: 'trying', address: null, why: 'no router was asked yet' }
  #held: { readonly gateway: string; readonly port: number } | null = null
  #run: Promise<void> = Promise.resolve()

  constructor(services: PortMappingServices) {
    this.#services = services
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
    await this.#ask(held.gateway, askTcpMapping(held.port, 0, 0), limit.signal).catch(() => null)
  }

  async #keep(): Promise<void> {
    const { clock, log } = this.#services
    const { signal } = this.#stopped
    while (!signal.aborted) {
      let waitMs = RETRY_MS
      try {
        const lifetimeS = await this.#map(signal)
        if (lifetimeS !== null) waitMs = (lifetimeS * 1_000) / 2
      } catch (error) {
        if (signal.aborted) return
        log.debug('network.portNotMapped', { error })
        this.#state = { state: 'failed', address: null, why: String(error) }
      }
      await sleep(clock, waitMs, { signal }).catch(() => undefined)
    }
  }

  /** Seconds the mapping lasts; `null` when there is none, `state` says why. */
  async #map(signal: AbortSignal): Promise<number | null> {
    const { port: portOf, gateway: gatewayOf = defaultGateway, log } = this.#services
    const [port, gateway] = [portOf(), await gatewayOf()]
    const none = (why: string): null => {
      this.#state = { state: 'failed', address: null, why }
      return null
    }
    if (port === null) return none('this node listens at no TCP port of IPv4')
    if (gateway === null || !isPrivate(gateway)) return none('this machine has no router with a private address')
    const outside = await this.#ask(gateway, askAddress(), signal)
    if (outside === null) return none('the router does not speak NAT-PMP')
    if (outside.type !== 'address') return none('the router tells no outside address')
    const mapped = await this.#ask(gateway, askTcpMapping(port, port, LIFETIME_S), signal)
    if (mapped?.type !== 'mapping' || mapped.insidePort !== port)
      return none(`the router gives no port: ${mapped?.type === 'refusal' ? `result ${mapped.result}` : 'no answer'}`)
    this.#held = { gateway, port }
    const address = `/ip4/${outside.address}/tcp/${mapped.outsidePort}`
    if (isPrivate(outside.address)) {
      this.#state = {
        state: 'failed',
        address: null,
        why: 'the router is itself behind a NAT: its outside address is private',
      }
      return mapped.lifetimeS
    }
    if (this.#state.address !== address) log.info('network.portMapped', { address })
    this.#state = { state: 'mapped', address, why: 'the router maps the port by NAT-PMP' }
    return mapped.lifetimeS
  }

  /** `null` without an answer. */
  async #ask(gateway: string, question: Uint8Array, signal: AbortSignal): Promise<Answer | null> {
    const socket = createSocket('udp4')
    try {
      const { promise, resolve, reject } = Promise.withResolvers<Answer>()
      promise.catch(() => undefined)
      socket.on('error', reject)
      socket.on('message', (bytes) => {
        const answer = decodeAnswer(bytes)
        const asked = question[1] === 0 ? 'address' : 'mapping'
        if (answer !== null && (answer.type === asked || (answer.type === 'refusal' && answer.asked === asked)))
          resolve(answer)
      })
      // Only the router may answer.
      socket.connect(GATEWAY_PORT, gateway)
      await new Promise<void>((done, failed) => socket.once('connect', done).once('error', failed))
      for (let at = 0; at < TRIES && !signal.aborted; at += 1) {
        socket.send(question, () => undefined)
        const waited = new AbortController()
        const wait = sleep(this.#services.clock, FIRST_WAIT_MS * 2 ** at, {
          signal: AbortSignal.any([signal, waited.signal]),
        })
        const answer = await Promise.race([promise, wait.then(() => null)]).finally(() => waited.abort())
        if (answer !== null) return answer
      }
      return null
    } finally {
      socket.close()
    }
  }
}

/** Of the routing table of Linux (proc(5), net/route); `null` elsewhere. */
async function defaultGateway(): Promise<string | null> {
  const table = await readFile('/proc/net/route', 'utf8').catch(() => '')
  for (const line of table.split('\n').slice(1)) {
    const [, destination, gateway] = line.split('\t')
    if (destination !== '00000000' || gateway === undefined || !/^[0-9A-F]{8}$/i.test(gateway)) continue
    return [6, 4, 2, 0].map((at) => Number.parseInt(gateway.slice(at, at + 2), 16)).join('.')
  }
  return null
}
