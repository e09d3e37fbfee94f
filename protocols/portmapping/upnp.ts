/**
 * UPnP Internet Gateway Device 1 and 2: finding the router's description (SSDP, UPnP Device Architecture 1.1 §1.3), its
 * WAN connection in there, and calls to it (SOAP, §3). What the router says must lead to the router itself. Pure.
 */
import { childText, elementsOf, escapeXml, parseXml } from './xml.ts'

export const SSDP_GROUP = '239.255.255.250'
export const SSDP_PORT = 1_900
export const MAX_SSDP_BYTES = 2_048
/** Descriptions looked at; a router has one, or one for each version. */
export const MAX_LOCATIONS = 4

/** Best first. A router with two WAN connections names the one in use first. */
const CONNECTIONS = [
  'urn:schemas-upnp-org:service:WANIPConnection:2',
  'urn:schemas-upnp-org:service:WANIPConnection:1',
  'urn:schemas-upnp-org:service:WANPPPConnection:1',
] as const

export const SEARCHED = [
  'urn:schemas-upnp-org:device:InternetGatewayDevice:2',
  'urn:schemas-upnp-org:device:InternetGatewayDevice:1',
] as const

/** Codes of WANIPConnection:2 §2.5 that another try may get around. */
export const FAULT = { onlyPermanentLeases: 725, conflict: 718 } as const

/** Where calls for one WAN connection go. */
export interface Control {
  readonly serviceType: string
  readonly host: string
  readonly port: number
  readonly path: string
}

export type CallAnswer =
  | { readonly state: 'done'; readonly values: ReadonlyMap<string, string> }
  /** `code` is the router's, or `null` when it gave none. */
  | { readonly state: 'fault'; readonly code: number | null; readonly text: string }

export function search(target: (typeof SEARCHED)[number]): string {
  return [
    'M-SEARCH * HTTP/1.1',
    `HOST: ${SSDP_GROUP}:${SSDP_PORT}`,
    'MAN: "ssdp:discover"',
    'MX: 1',
    `ST: ${target}`,
    '',
    '',
  ].join('\r\n')
}

/** Where the router that answered keeps its description; `null` for other datagrams, and for places elsewhere. */
export function locationIn(datagram: Uint8Array, router: string): URL | null {
  if (datagram.length > MAX_SSDP_BYTES) return null
  const [status = '', ...lines] = Buffer.from(datagram).toString('latin1').split('\r\n')
  if (!/^HTTP\/1\.[01] 200\b/.test(status)) return null
  const value = (name: string): string | null =>
    lines
      .find((line) => line.toLowerCase().startsWith(`${name}:`))
      ?.slice(name.length + 1)
      .trim() ?? null
  const isRouter = SEARCHED.some((target) => value('st') === target)
  const location = value('location')
  return isRouter && location !== null ? onRouter(location, router, undefined) : null
}

/** The best WAN connection that the description of a router names; `null` without one on the router itself. */
export function controlIn(description: string, location: URL): Control | null {
  const root = parseXml(description)
  if (root === null) return null
  const router = location.hostname
  const base = onRouter(childText(root, 'URLBase') ?? '', router, location) ?? location
  const services = elementsOf(root, 'service')
  for (const serviceType of CONNECTIONS) {
    for (const service of services.filter((each) => childText(each, 'serviceType') === serviceType)) {
      const url = onRouter(childText(service, 'controlURL') ?? '', router, base)
      if (url !== null)
        return { serviceType, host: url.hostname, port: portOf(url), path: `${url.pathname}${url.search}` }
    }
  }
  return null
}

export function portOf(url: URL): number {
  return url.port === '' ? 80 : Number(url.port)
}

/** The body of a call; `args` in the order the service's text gives. */
export function call(serviceType: string, action: string, args: ReadonlyArray<readonly [string, string]>): string {
  const given = args.map(([name, value]) => `<${name}>${escapeXml(value)}</${name}>`).join('')
  return [
    '<?xml version="1.0"?>',
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/">',
    `<s:Body><u:${action} xmlns:u="${serviceType}">${given}</u:${action}></s:Body>`,
    '</s:Envelope>',
  ].join('\r\n')
}

/** `null` for what is no answer to `action`. */
export function answerTo(action: string, body: string): CallAnswer | null {
  const root = parseXml(body)
  if (root?.name !== 'Envelope') return null
  const [fault] = elementsOf(root, 'Fault')
  if (fault !== undefined) {
    const [error] = elementsOf(fault, 'UPnPError')
    const code = error === undefined ? null : childText(error, 'errorCode')
    const text = error === undefined ? null : childText(error, 'errorDescription')
    return {
      state: 'fault',
      code: code !== null && /^\d{3}$/.test(code) ? Number(code) : null,
      text: (text ?? '').slice(0, 100),
    }
  }
  const [answer] = elementsOf(root, `${action}Response`)
  if (answer === undefined) return null
  return { state: 'done', values: new Map(answer.children.map(({ name, text }) => [name, text])) }
}

/** A URL over plain HTTP on the router, as it is spelled by number; nothing the router says leads anywhere else. */
function onRouter(text: string, router: string, base: URL | undefined): URL | null {
  if (!/^\d+\.\d+\.\d+\.\d+$/.test(router) || text.length > 512) return null
  try {
    const url = new URL(text, base)
    const isThere = url.protocol === 'http:' && url.hostname === router && url.username === '' && url.password === ''
    return isThere && portOf(url) > 0 ? url : null
  } catch {
    return null
  }
}
