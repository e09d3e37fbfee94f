/** Who may speak to the local API at all: never a web page, over TCP only for hosts it answers for and with a token. */
import type { IncomingMessage } from 'node:http'
import { isIPv4 } from 'node:net'
import { ipcErrors } from '../../protocols/ipc/errors.ts'
import { owner } from './caller.ts'
import type { Authenticate } from './caller.ts'
import type { LoginLimit } from './login-limit.ts'
import type { TokenStore } from './tokens.ts'

/** Whoever can open the socket is the owner; a browser cannot, but what runs in one might find a proxy. */
export const authenticateOwner: Authenticate = async (request) => {
  refuseWebPages(request)
  return owner
}

export interface TokenAccess {
  readonly tokens: TokenStore
  readonly loginLimit: LoginLimit
  /** Names beside localhost and loopback addresses, lower case, without port. */
  readonly allowedHosts: readonly string[]
}

export function authenticateByToken({ tokens, loginLimit, allowedHosts }: TokenAccess): Authenticate {
  return async (request) => {
    refuseForeignHost(request, allowedHosts)
    refuseWebPages(request)
    const address = request.socket.remoteAddress ?? 'unknown'
    const token = /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/.exec(request.headers.authorization ?? '')?.[1]
    const known = token === undefined ? null : tokens.recall(token)
    if (known !== null) return known
    loginLimit.check(address)
    const caller = token === undefined ? null : await tokens.verify(token)
    if (caller === null) {
      loginLimit.failed(address)
      throw ipcErrors.NZ_IPC_TOKEN_REFUSED()
    }
    loginLimit.succeeded(address)
    return caller
  }
}

/** A page cannot leave these headers out, nor set the token without asking first by an `OPTIONS` with an Origin. */
function refuseWebPages({ headers }: IncomingMessage): void {
  if (headers.origin !== undefined || headers['sec-fetch-site'] !== undefined) throw ipcErrors.NZ_IPC_ORIGIN_REFUSED()
}

/** Keeps out pages whose name was made to point at this machine (DNS rebinding). */
function refuseForeignHost({ rawHeaders, headers }: IncomingMessage, allowedHosts: readonly string[]): void {
  const hosts = rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host').length
  const name = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/.exec((headers.host ?? '').toLowerCase())?.[1]
  const isLoopback = name === 'localhost' || name === '[::1]' || (name?.startsWith('127.') === true && isIPv4(name))
  if (hosts !== 1 || name === undefined || !(isLoopback || allowedHosts.includes(name))) {
    throw ipcErrors.NZ_IPC_HOST_REFUSED()
  }
}
