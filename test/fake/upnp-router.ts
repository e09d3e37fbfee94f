/** A UPnP router on loopback: answers searches, gives its description and keeps a table of ports; what it says can be bent. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const SERVICE = 'urn:schemas-upnp-org:service:WANIPConnection:1'

export interface FakeUpnpRouter extends AsyncDisposable {
  readonly ssdpPort: number
  readonly httpPort: number
  /** Outside port to what it leads to. */
  readonly table: Map<number, { readonly client: string; readonly port: number; readonly leaseS: number }>
  /** Actions called, in order. */
  readonly calls: string[]
}

export interface FakeUpnpRouterInit {
  readonly outsideAddress?: string
  readonly location?: (httpPort: number) => string
  readonly controlUrl?: (httpPort: number) => string
  readonly describe?: (description: string) => string
  /** A UPnP error in place of an answer to AddPortMapping. */
  readonly faultOf?: (asked: { readonly outsidePort: number; readonly leaseS: number }) => number | null
  readonly status?: number
}

export async function fakeUpnpRouter(init: FakeUpnpRouterInit = {}): Promise<FakeUpnpRouter> {
  const table: FakeUpnpRouter['table'] = new Map()
  const calls: string[] = []
  const value = (body: string, name: string): string => new RegExp(`<${name}>([^<]*)</${name}>`).exec(body)?.[1] ?? ''
  const answer = (action: string, body: string): string => {
    const outsidePort = Number(value(body, 'NewExternalPort'))
    const fault = (code: number): string =>
      `<s:Fault><detail><UPnPError><errorCode>${code}</errorCode></UPnPError></detail></s:Fault>`
    const done = (values: string): string => `<u:${action}Response xmlns:u="${SERVICE}">${values}</u:${action}Response>`
    if (action === 'GetExternalIPAddress')
      return done(`<NewExternalIPAddress>${init.outsideAddress ?? '45.0.0.200'}</NewExternalIPAddress>`)
    if (action === 'AddPortMapping') {
      const leaseS = Number(value(body, 'NewLeaseDuration'))
      const code = init.faultOf?.({ outsidePort, leaseS }) ?? null
      if (code !== null) return fault(code)
      const client = value(body, 'NewInternalClient')
      table.set(outsidePort, { client, port: Number(value(body, 'NewInternalPort')), leaseS })
      return done('')
    }
    const entry = table.get(outsidePort)
    if (entry === undefined) return fault(714)
    if (action === 'DeletePortMapping') table.delete(outsidePort)
    return done(
      `<NewInternalPort>${entry.port}</NewInternalPort><NewInternalClient>${entry.client}</NewInternalClient><NewLeaseDuration>${entry.leaseS}</NewLeaseDuration>`,
    )
  }
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (part: Buffer) => (body += part.toString()))
    request.on('end', () => {
      response.statusCode = init.status ?? 200
      const action = /#(\w+)"$/.exec(String(request.headers['soapaction']))?.[1]
      if (action === undefined) {
        response.end((init.describe ?? String)(description(controlUrl())))
        return
      }
      calls.push(action)
      response.end(`<s:Envelope xmlns:s="e"><s:Body>${answer(action, body)}</s:Body></s:Envelope>`)
    })
  })
  const socket = createSocket('udp4')
  const port = (): number => (server.address() as AddressInfo).port
  const controlUrl = (): string => init.controlUrl?.(port()) ?? '/control'
  socket.on('message', (bytes, from) => {
    const target = /^ST: (.*)$/m.exec(bytes.toString())?.[1]?.trim() ?? ''
    const location = init.location?.(port()) ?? `http://127.0.0.1:${port()}/description.xml`
    socket.send(`HTTP/1.1 200 OK\r\nST: ${target}\r\nLocation: ${location}\r\n\r\n`, from.port, from.address)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  await once(socket.bind(0, '127.0.0.1'), 'listening')
  return {
    ssdpPort: socket.address().port,
    httpPort: port(),
    table,
    calls,
    async [Symbol.asyncDispose]() {
      socket.close()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function description(controlUrl: string): string {
  const service = `<service><serviceType>${SERVICE}</serviceType><controlURL>${controlUrl}</controlURL></service>`
  return `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device><deviceList><device><serviceList>${service}</serviceList></device></deviceList></device></root>`
}
