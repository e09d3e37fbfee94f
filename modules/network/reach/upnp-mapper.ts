/**
 * A port of the router by UPnP IGD. Nobody on the network is believed but the router of this machine itself: answers to
 * the search count when they come from its address, and every URL it names must lead to that address.
 */
import { createSocket } from 'node:dgram'
import { request as httpRequest } from 'node:http'
import { isIPv4 } from 'node:net'
import { deadline, sleep } from '../../../kernel/index.ts'
import {
  answerTo,
  call,
  controlIn,
  FAULT,
  locationIn,
  MAX_LOCATIONS,
  portOf,
  search,
  SEARCHED,
  SSDP_GROUP,
  SSDP_PORT,
} from '../../../protocols/portmapping/upnp.ts'
import { MAX_XML_BYTES } from '../../../protocols/portmapping/xml.ts'
import type { Clock, Random } from '../../../kernel/index.ts'
import type { CallAnswer, Control } from '../../../protocols/portmapping/upnp.ts'
import type { MapOutcome, MapRequest, PortMapper } from './port-mapper.ts'

/** Routers answer within the second the search gives them (MX). */
const SEARCH_WAIT_MS = 1_500
const SEARCHES = 2
const CALL_TIMEOUT_MS = 5_000
/** Other ports asked for when the wanted one is another machine's. */
const OTHER_PORTS = 3
/** When the router knows only mappings without an end, this one is looked at again after so long. */
const LOOK_AGAIN_S = 600
/** What the router's page shows the mapping as. */
const DESCRIPTION = 'nzcore'

export interface UpnpServices {
  readonly clock: Clock
  readonly random: Random
  /** Where searches are sent. */
  readonly ssdpPort?: number
}

export class UpnpMapper implements PortMapper {
  readonly protocol = 'upnp'
  readonly name = 'UPnP'
  readonly #services: UpnpServices
  #control: Control | null = null
  /** What is mapped just now: other than asked for when that was taken. */
  #outsidePort: number | null = null

  constructor(services: UpnpServices) {
    this.#services = services
  }

  async map(request: MapRequest, signal: AbortSignal): Promise<MapOutcome> {
    const control = this.#control ?? (await this.#find(request, signal))
    if (control === null) return { state: 'absent' }
    const outside = await this.#call(control, 'GetExternalIPAddress', [], signal)
    // It may have moved to another port with a restart; the next try looks for it anew.
    this.#control = outside === null ? null : control
    if (outside === null) return { state: 'absent' }
    const outsideAddress = outside.state === 'done' ? (outside.values.get('NewExternalIPAddress') ?? '') : ''
    if (!isIPv4(outsideAddress)) return { state: 'refused', why: 'tells no outside address by UPnP' }
    const added = await this.#add(control, request, signal)
    if (typeof added === 'string') return { state: 'refused', why: `gives no port by UPnP: ${added}` }
    this.#outsidePort = added
    const lifetimeS = await this.#lifetimeOf(control, { ...request, outsidePort: added }, signal)
    if (lifetimeS === null) return { state: 'refused', why: 'shows a mapping to another machine' }
    return { state: 'mapped', outsideAddress, outsidePort: added, lifetimeS }
  }

  async unmap({ outsidePort }: MapRequest, signal: AbortSignal): Promise<void> {
    if (this.#control === null) return
    await this.#call(this.#control, 'DeletePortMapping', keyOf(this.#outsidePort ?? outsidePort), signal)
  }

  /** The outside port that is mapped now, or why none is. */
  async #add(control: Control, request: MapRequest, signal: AbortSignal): Promise<number | string> {
    const { random } = this.#services
    let { lifetimeS } = request
    let outsidePort = this.#outsidePort ?? request.outsidePort
    for (let others = 0; ;) {
      const args = [
        ...keyOf(outsidePort),
        ['NewInternalPort', String(request.port)],
        ['NewInternalClient', request.clientAddress],
        ['NewEnabled', '1'],
        ['NewPortMappingDescription', DESCRIPTION],
        ['NewLeaseDuration', String(lifetimeS)],
      ] as const
      const answer = await this.#call(control, 'AddPortMapping', args, signal)
      if (answer === null) return 'no answer'
      if (answer.state === 'done') return outsidePort
      if (answer.code === FAULT.onlyPermanentLeases && lifetimeS !== 0) lifetimeS = 0
      else if (answer.code === FAULT.conflict && others < OTHER_PORTS) {
        others += 1
        outsidePort = 10_000 + Math.floor(random.unit() * 50_000)
      } else return `error ${answer.code ?? 'without a code'}`
    }
  }

  /** What the router has entered; `null` when it is a mapping to somebody else. */
  async #lifetimeOf(control: Control, request: MapRequest, signal: AbortSignal): Promise<number | null> {
    const entry = await this.#call(control, 'GetSpecificPortMappingEntry', keyOf(request.outsidePort), signal)
    if (entry?.state !== 'done') return request.lifetimeS
    const { values } = entry
    const isOurs =
      values.get('NewInternalClient') === request.clientAddress && values.get('NewInternalPort') === `${request.port}`
    if (!isOurs) return null
    const left = Number(values.get('NewLeaseDuration'))
    return left > 0 ? Math.min(left, request.lifetimeS) : LOOK_AGAIN_S
  }

  async #find({ gateway, clientAddress }: MapRequest, signal: AbortSignal): Promise<Control | null> {
    for (const location of await this.#locations(gateway, clientAddress, signal)) {
      const place = { host: gateway, port: portOf(location), path: `${location.pathname}${location.search}` }
      const description = await this.#http(place, { method: 'GET', headers: {}, body: '' }, signal)
      const control = description?.status === 200 ? controlIn(description.body, location) : null
      if (control !== null) return control
    }
    return null
  }

  /** Where the router says its descriptions are. Searched at the group, and at the router alone for those that hear only that. */
  async #locations(gateway: string, clientAddress: string, signal: AbortSignal): Promise<readonly URL[]> {
    const { clock, ssdpPort = SSDP_PORT } = this.#services
    const socket = createSocket('udp4')
    const found = new Map<string, URL>()
    const first = Promise.withResolvers<void>()
    try {
      socket.on('error', () => first.resolve())
      socket.on('message', (bytes, { address }) => {
        const location = address === gateway ? locationIn(bytes, gateway) : null
        if (location === null || found.size >= MAX_LOCATIONS) return
        found.set(location.href, location)
        first.resolve()
      })
      await new Promise<void>((resolve, reject) => socket.once('error', reject).bind(0, clientAddress, () => resolve()))
      socket.setMulticastInterface(clientAddress)
      for (let at = 0; at < SEARCHES && found.size === 0 && !signal.aborted; at += 1) {
        for (const target of SEARCHED)
          for (const host of [SSDP_GROUP, gateway]) socket.send(search(target), ssdpPort, host, () => undefined)
        const waited = new AbortController()
        await Promise.race([
          first.promise,
          sleep(clock, SEARCH_WAIT_MS, { signal: AbortSignal.any([signal, waited.signal]) }).catch(() => undefined),
        ]).finally(() => waited.abort())
      }
      return [...found.values()]
    } finally {
      socket.close()
    }
  }

  async #call(
    control: Control,
    action: string,
    args: ReadonlyArray<readonly [string, string]>,
    signal: AbortSignal,
  ): Promise<CallAnswer | null> {
    const headers = {
      'content-type': 'text/xml; charset="utf-8"',
      soapaction: `"${control.serviceType}#${action}"`,
    }
    const answer = await this.#http(
      control,
      { method: 'POST', headers, body: call(control.serviceType, action, args) },
      signal,
    )
    return answer === null ? null : answerTo(action, answer.body)
  }

  /** `null` when it fails, takes too long or is too long. Redirections are answers like any other: not followed. */
  async #http(
    { host, port, path }: Pick<Control, 'host' | 'port' | 'path'>,
    { method, headers, body }: { readonly method: string; readonly headers: object; readonly body: string },
    given: AbortSignal,
  ): Promise<{ readonly status: number; readonly body: string } | null> {
    using limit = deadline(this.#services.clock, CALL_TIMEOUT_MS, { signal: given })
    const { promise, resolve } = Promise.withResolvers<{ status: number; body: string } | null>()
    const request = httpRequest(
      { host, port, path, method, signal: limit.signal, agent: false, headers: { ...headers, connection: 'close' } },
      (response) => {
        const parts: Buffer[] = []
        let length = 0
        response.on('data', (part: Buffer) => {
          length += part.length
          if (length > MAX_XML_BYTES) request.destroy(new Error('the answer is too long'))
          else parts.push(part)
        })
        response.on('error', () => resolve(null))
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts).toString('utf8') }),
        )
      },
    )
    request.on('error', () => resolve(null))
    request.on('close', () => resolve(null))
    request.end(body)
    return await promise
  }
}

/** What names a mapping in calls: from anywhere, one port, TCP. */
function keyOf(outsidePort: number): ReadonlyArray<readonly [string, string]> {
  return [
    ['NewRemoteHost', ''],
    ['NewExternalPort', String(outsidePort)],
    ['NewProtocol', 'TCP'],
  ]
}
