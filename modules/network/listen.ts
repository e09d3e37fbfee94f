/** Where to listen when the operator did not say: the usual ports, or free ones that are remembered. */
import { createServer } from 'node:net'
import { z } from 'zod'
import type { HomeService } from '../home/service.ts'

const FILE = 'network-ports.json'
export const DEFAULT_PORTS: Ports = { tcp: 4001, ws: 4002 }

const port = z.number().int().min(1).max(65_535)
const fileSchema = z.object({ tcp: port, ws: port })

export interface Ports {
  readonly tcp: number
  readonly ws: number
}

/**
 * The ports used last time, else the usual ones; any free port in place of one that is taken. A port that was found
 * is remembered, so that the addresses other nodes know stay right.
 */
export async function choosePorts(
  home: Pick<HomeService, 'read' | 'write'>,
  { freePort = systemFreePort }: { freePort?: (wanted: number, taken: readonly number[]) => Promise<number> } = {},
): Promise<Ports> {
  const remembered = await readPorts(home)
  const wanted = remembered ?? DEFAULT_PORTS
  const tcp = await freePort(wanted.tcp, [])
  const ws = await freePort(wanted.ws, [tcp])
  const ports = { tcp, ws }
  if (ports.tcp !== wanted.tcp || ports.ws !== wanted.ws)
    await home.write(FILE, new TextEncoder().encode(`${JSON.stringify(ports)}\n`))
  return ports
}

/** Both transports at every address of the machine. */
export function listenEverywhere({ tcp, ws }: Ports): string[] {
  return ['/ip4/0.0.0.0', '/ip6/::'].flatMap((host) => [`${host}/tcp/${tcp}`, `${host}/tcp/${ws}/ws`])
}

/** A remembered port is a convenience: what cannot be read is as good as none. */
async function readPorts(home: Pick<HomeService, 'read'>): Promise<Ports | null> {
  const bytes = await home.read(FILE)
  if (bytes === null) return null
  try {
    return fileSchema.parse(JSON.parse(new TextDecoder().decode(bytes)))
  } catch {
    return null
  }
}

async function systemFreePort(wanted: number, taken: readonly number[]): Promise<number> {
  for (const candidate of taken.includes(wanted) ? [0] : [wanted, 0]) {
    const found = await tryPort(candidate)
    if (found !== null && !taken.includes(found)) return found
  }
  return wanted
}

async function tryPort(candidate: number): Promise<number | null> {
  const { promise, resolve } = Promise.withResolvers<number | null>()
  const server = createServer()
  server.once('error', () => resolve(null))
  server.listen({ host: '0.0.0.0', port: candidate, exclusive: true }, () => {
    const address = server.address()
    server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : null))
  })
  return await promise
}
