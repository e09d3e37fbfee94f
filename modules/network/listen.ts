/** Where to listen when the operator did not say: the usual ports, or free ones that are remembered. */
import { createServer } from 'node:net'
import { z } from 'zod'
import { isNzError } from '../../kernel/index.ts'
import type { StorageService, StoredMap } from '../storage/service.ts'

const NAMESPACE = 'network/ports'
const KEY = 'chosen'
const OLDER_FILE = 'network-ports.json'
export const DEFAULT_PORTS: Ports = { tcp: 4001, ws: 4002 }

const port = z.number().int().min(1).max(65_535)
const Ports = z.object({ tcp: port, ws: port })

export interface Ports {
  readonly tcp: number
  readonly ws: number
}

/**
 * The ports used last time, else the usual ones; any free port in place of one that is taken. A port that was found
 * is remembered, so that the addresses other nodes know stay right.
 */
export async function choosePorts(
  storage: Pick<StorageService, 'map'>,
  { freePort = systemFreePort }: { freePort?: (wanted: number, taken: readonly number[]) => Promise<number> } = {},
): Promise<Ports> {
  const stored = storage.map(NAMESPACE, { schema: Ports, older: { file: OLDER_FILE, records: parse } })
  await stored.load()
  // Ports are a convenience: while they cannot be read or written, any are as good.
  const wanted = (stored.trouble === null ? stored.values.get(KEY) : undefined) ?? DEFAULT_PORTS
  const tcp = await freePort(wanted.tcp, [])
  const ws = await freePort(wanted.ws, [tcp])
  const ports = { tcp, ws }
  if (stored.trouble === null && (ports.tcp !== wanted.tcp || ports.ws !== wanted.ws)) await remember(stored, ports)
  return ports
}

/** Both transports at every address of the machine. */
export function listenEverywhere({ tcp, ws }: Ports): string[] {
  return ['/ip4/0.0.0.0', '/ip6/::'].flatMap((host) => [`${host}/tcp/${tcp}`, `${host}/tcp/${ws}/ws`])
}

async function remember(stored: StoredMap<Ports>, ports: Ports): Promise<void> {
  try {
    await stored.force({ put: [[KEY, ports]] })
  } catch (error) {
    if (!isNzError(error)) throw error
  }
}

/** The ports of version 0.1.0; what cannot be read is as good as none. */
function parse(bytes: Uint8Array): readonly (readonly [string, Ports])[] {
  try {
    return [[KEY, Ports.parse(JSON.parse(new TextDecoder().decode(bytes)))]]
  } catch {
    return []
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
