/** Sockets of this machine: the local API, the ports to listen on, addresses, names. Nothing leaves the machine. */
import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { portOwner } from './port-owner.ts'
import { isErrno } from '../../kernel/index.ts'
import { ok, warn } from './subject.ts'
import type { Check, Subject } from './subject.ts'
import type { Finding } from './service.ts'

const SLOW_LOOKUP_MS = 500
const CONNECT_TIMEOUT_MS = 2_000

export const checkSocket: Check = async ({ home, node }, { signal }) => {
  const state = await stateOfSocket(home.socketPath, signal)
  const path = `(${home.socketPath})`
  switch (state) {
    case 'open':
      return [ok('api.socket', `the local API answers ${path}`)]
    case 'absent':
      return node === null
        ? [ok('api.socket', 'no node runs this profile')]
        : [warn('api.socket', `the local API has no socket ${path}`, 'nzcore down && nzcore up')]
    case 'stale':
      return [warn('api.socket', `nobody answers at the socket that a node has left ${path}`, 'nzcore up')]
    case 'refused':
      return [
        warn('api.socket', `the local API may not be opened by you ${path}`, 'run nzcore as the user of the node'),
      ]
  }
}

export const checkPorts: Check = async (subject) => {
  if (subject.node !== null) {
    const addresses = subject.node.addresses()
    return addresses.length > 0
      ? [ok('ports', `the node listens on ${addresses.length === 1 ? 'one address' : `${addresses.length} addresses`}`)]
      : [warn('ports', 'the node listens on no address: nobody can reach it', 'nzcore config explain network.listen')]
  }
  return await Promise.all((await configuredPorts(subject)).map(async (each) => await checkPort(each)))
}

export const checkAddresses: Check = async () => {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  const has = (family: string): boolean => all.some((address) => address.family === family && !address.internal)
  const families = ['IPv4', 'IPv6'].filter(has)
  return [
    families.length > 0
      ? ok('network.addresses', `this machine has ${families.join(' and ')} addresses`)
      : warn('network.addresses', 'this machine has no address but its own', 'connect it to a network'),
  ]
}

/** `localhost` comes from a file or the resolver of this machine; a slow answer is a resolver that will delay all. */
export const checkNames: Check = async ({ clock }) => {
  const startedAtMs = clock.monotonicMs()
  try {
    await lookup('localhost')
  } catch (error) {
    return [
      warn('network.names', `localhost has no address: ${String(error)}`, 'add "127.0.0.1 localhost" to /etc/hosts'),
    ]
  }
  const tookMs = Math.round(clock.monotonicMs() - startedAtMs)
  const what = `localhost is found in ${tookMs} ms`
  return [
    tookMs > SLOW_LOOKUP_MS
      ? warn('network.names', what, 'look at /etc/resolv.conf and /etc/nsswitch.conf')
      : ok('network.names', what),
  ]
}

async function stateOfSocket(path: string, signal: AbortSignal): Promise<'open' | 'absent' | 'stale' | 'refused'> {
  const socket = connect({ path, signal: AbortSignal.any([signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)]) })
  try {
    await once(socket, 'connect')
    return 'open'
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return 'absent'
    return isErrno(error, 'EACCES', 'EPERM') ? 'refused' : 'stale'
  } finally {
    socket.destroy()
  }
}

/** What a node listens on when nothing is configured; it takes free ports instead when these are taken. */
const DEFAULT_PORTS = [4_001, 4_002]

/** The TCP ports a node would listen on; none when the configuration cannot be read, which another check tells. */
async function configuredPorts({
  readConfig,
}: Subject): Promise<ReadonlyArray<{ readonly port: number; readonly isDefault: boolean }>> {
  let network
  try {
    network = (await readConfig()).values['network']
  } catch {
    return []
  }
  const listen = typeof network === 'object' && network !== null && 'listen' in network ? network.listen : undefined
  if (!Array.isArray(listen)) return DEFAULT_PORTS.map((port) => ({ port, isDefault: true }))
  const ports = listen.flatMap((address) => /\/tcp\/(\d+)/.exec(String(address))?.[1] ?? []).map(Number)
  return [...new Set(ports)].filter((port) => port > 0).map((port) => ({ port, isDefault: false }))
}

async function checkPort({ port, isDefault }: { port: number; isDefault: boolean }): Promise<Finding> {
  const server = createServer()
  try {
    server.listen(port)
    await once(server, 'listening')
    return ok('ports', `tcp port ${port} is free`)
  } catch (error) {
    if (!isErrno(error, 'EADDRINUSE')) {
      return warn(
        'ports',
        `tcp port ${port} cannot be opened: ${String(error)}`,
        'choose another: nzcore config explain network.listen',
      )
    }
    const what = `tcp port ${port} is used by ${(await portOwner(port)) ?? 'another process'}`
    return isDefault
      ? ok('ports', `${what}; nzcore takes a free one`)
      : warn('ports', what, 'stop that process', 'choose another port: nzcore config explain network.listen')
  } finally {
    server.close()
  }
}
