/** How the node's state reads: the first screen of `up`, and `status`. */
import { escapeText, formatAge, formatBytes, formatCount, formatDuration, shortId, shortIds, table } from './text.ts'
import type { contract } from '../protocols/ipc/contract.ts'
import type { ResultOf } from '../protocols/ipc/endpoint.ts'

export type NodeStatus = ResultOf<(typeof contract)['nodeStatus']>

export interface UpFacts {
  readonly isNew: boolean
  readonly isNewIdentity: boolean
  readonly readyMs: number | null
  readonly pid: number
  readonly profile: string
  readonly id: string
  readonly protection: 'passphrase' | 'key-file'
  readonly isBackedUp: boolean
  readonly stateDir: string
  readonly addresses: readonly string[]
  readonly memoryBytes: number
}

/** The first screen: only what is true and known. */
export function upText(facts: UpFacts, userHome: string | null): string {
  const { isNew, isNewIdentity, readyMs, pid, id, protection, isBackedUp, stateDir, addresses, memoryBytes } = facts
  const place =
    userHome !== null && stateDir.startsWith(`${userHome}/`) ? `~${stateDir.slice(userHome.length)}` : stateDir
  const protectedBy = protection === 'passphrase' ? 'encrypted by a passphrase' : 'encrypted by a key file'
  const ready = readyMs === null ? '' : `, ready in ${(readyMs / 1_000).toFixed(2)} s`
  return [
    `✔ ${isNewIdentity ? 'identity created' : 'identity        '}  ${shortId(id)}  (${place}, 0600, ${protectedBy})`,
    `✔ ${isNew ? 'daemon running  ' : 'already running '}  pid ${pid}${ready}, ${formatBytes(memoryBytes)}`,
    addresses.length === 0
      ? '! not listening     no peer can reach this node → nzcore doctor'
      : `✔ listening         ${listeningText(addresses)}`,
    ...(isBackedUp ? [] : ['! recovery          not backed up → nzcore identity phrase']),
    'Next: nzcore invite',
  ].join('\n')
}

/** `tcp 4001 · ws 4002` */
function listeningText(addresses: readonly string[]): string {
  const ports = addresses.map((address) => {
    const port = /\/tcp\/(\d+)/.exec(address)?.[1]
    return port === undefined ? address : `${/\/wss?(\/|$)/.test(address) ? 'ws' : 'tcp'} ${port}`
  })
  return [...new Set(ports)].join(' · ')
}

export interface StatusView {
  readonly isFull: boolean
  readonly nowMs: number
}

export function isDegraded({ state, modules }: Pick<NodeStatus, 'state' | 'modules'>): boolean {
  return state !== 'running' || modules.some(isUnwell)
}

export function statusText(status: NodeStatus, { isFull, nowMs }: StatusView): string {
  const { uptimeMs, connected, contacts, memoryBytes, bufferedBytes, bufferBudgetBytes, cpuPercent, peers } = status
  const head = [
    `up ${formatAge(uptimeMs)}  health ${isDegraded(status) ? 'DEGRADED' : 'OK'}  ${connected} connected`,
    contacts === null ? 'contacts cannot be read' : `${contacts} ${contacts === 1 ? 'contact' : 'contacts'}`,
    `memory ${formatBytes(memoryBytes)}`,
    `buffers ${formatBytes(bufferedBytes)}/${formatBytes(bufferBudgetBytes)}`,
    `cpu ${cpuPercent.toFixed(1)} %`,
  ].join(' · ')
  return [
    head,
    ...(isFull
      ? [
          `profile ${status.profile}  pid ${status.pid}  id ${status.id}`,
          ...status.addresses,
          backendText(status),
          reachText(status),
          ...limitsText(status),
        ]
      : status.reachability.verdict === 'unreachable'
        ? [reachText(status)]
        : []),
    ...status.modules.filter((module) => isFull || isUnwell(module)).map(moduleText),
    ...(peers.length === 0 ? [] : [peerTable(peers, { isFull, nowMs })]),
  ].join('\n')
}

/** `tcp by typescript: the native stack was switched off` */
function backendText({ backend: { backend, reason } }: NodeStatus): string {
  return `tcp by ${backend}${reason === null ? '' : `: ${escapeText(reason)}`}`
}

/** `reach: punchable: a NAT maps the port alike for all peers; …` */
function reachText({ reachability: { verdict, why } }: NodeStatus): string {
  return `${verdict === 'unreachable' ? '! ' : ''}reach ${verdict}: ${escapeText(why)}`
}

/** `limits kept out: 12 connections (full 2, handshake-rate 10) · 3 handshakes for newer ones · 64 streams (protocol-full 64)` */
function limitsText({ limits: { connectionsRefused, handshakesEvicted, streamsRefused } }: NodeStatus): string[] {
  const counted = (what: string, reasons: Readonly<Record<string, number>>): string[] => {
    const count = Object.values(reasons).reduce((sum, each) => sum + each, 0)
    const each = Object.entries(reasons).map(([reason, times]) => `${reason} ${times}`)
    return count === 0 ? [] : [`${count} ${what} (${each.join(', ')})`]
  }
  const parts = [
    ...counted('connections', connectionsRefused),
    ...(handshakesEvicted === 0 ? [] : [`${handshakesEvicted} handshakes for newer ones`]),
    ...counted('streams', streamsRefused),
  ]
  return parts.length === 0 ? [] : [`limits kept out: ${parts.join(' · ')}`]
}

type Module = NodeStatus['modules'][number]

function isUnwell({ state, health }: Module): boolean {
  return state !== 'running' || (health !== null && health !== 'healthy')
}

function moduleText(module: Module): string {
  const { name, state, code, why, restarts } = module
  const details = [
    ...(code === null ? [] : [code]),
    ...(why === null ? [] : [escapeText(why)]),
    ...(restarts === 0 ? [] : [`${restarts} restarts`]),
  ]
  return `${isUnwell(module) ? '!' : '✔'} ${name.padEnd(12)} ${state}${details.length === 0 ? '' : `  ${details.join(' · ')}`}`
}

function peerTable(peers: NodeStatus['peers'], { isFull, nowMs }: StatusView): string {
  const idOf = (peer: NodeStatus['peers'][number]): string => peer.id ?? peer.peerId
  const short = shortIds(peers.map(idOf))
  const rows = peers.map((peer) => [
    peer.name ?? '-',
    isFull ? idOf(peer) : (short.get(idOf(peer)) ?? ''),
    pathText(peer, isFull),
    peer.rttMs === null ? '-' : formatDuration(peer.rttMs),
    `${formatCount(peer.txBytes)}/${formatCount(peer.rxBytes)}`,
    peer.connectedAtMs === null ? '-' : formatAge(nowMs - peer.connectedAtMs),
  ])
  return table(['NAME', 'ID', 'PATH', 'RTT', 'TX/RX', 'SINCE'], rows)
}

const TRANSPORTS = { tcp: 'direct tcp', websocket: 'direct ws', relay: 'relay', route: 'route' }

function pathText({ state, transport, via, address, backend }: NodeStatus['peers'][number], isFull: boolean): string {
  if (transport === null) return state
  if (transport === 'route') return via === null ? 'route, just lost' : `via ${viaText(via)}`
  return isFull && address !== null ? `${TRANSPORTS[transport]} ${address} by ${backend}` : TRANSPORTS[transport]
}

/** The name of a contact, or a whole peer id, shortened. */
function viaText(via: string): string {
  return via.length > 40 ? shortId(via) : escapeText(via)
}
