/** The optional TCP listener of the local API. */
import { once } from 'node:events'
import type { Server } from 'node:http'
import { z } from 'zod'
import { isErrno } from '../../kernel/index.ts'
import type { Logger } from '../../kernel/index.ts'
import { ipcErrors } from '../../protocols/ipc/errors.ts'

export const TcpConfig = z.strictObject({
  enabled: z.boolean().default(false).describe('whether the local API also listens on TCP, for holders of tokens'),
  host: z.string().min(1).default('127.0.0.1').describe('address to listen on; traffic is not encrypted'),
  port: z.number().int().min(0).max(65_535).default(4003).describe('port to listen on; 0 takes any free one'),
  allowedHosts: z
    .array(z.string().toLowerCase())
    .default([])
    .describe('names in the Host header that are answered beside localhost and loopback addresses, without port'),
})

/** The URL that clients use. @throws NZ_IPC_PORT_TAKEN */
export async function listenOnTcp(
  server: Server,
  { host, port }: z.infer<typeof TcpConfig>,
  { signal, log }: { readonly signal: AbortSignal; readonly log: Logger },
): Promise<string> {
  server.listen({ host, port })
  try {
    await once(server, 'listening', { signal })
  } catch (error) {
    if (isErrno(error, 'EADDRINUSE')) {
      throw ipcErrors.NZ_IPC_PORT_TAKEN({ cause: error, data: { host, port } })
    }
    throw error
  }
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('a TCP server has a port')
  const isLoopback = address.address === '::1' || address.address.startsWith('127.')
  if (!isLoopback) log.warn('ipc.tcpOpenToNetwork', { host: address.address, port: address.port })
  return `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`
}
