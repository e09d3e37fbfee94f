/** `nzcore peers`, `connect`, `disconnect`, `ping`, `block`: peers and how they are reached. */
import { isNzError, systemClock } from '../../kernel/index.ts'
import { cliErrors } from '../errors.ts'
import { limitText, reachabilityText } from '../reachability-text.ts'
import { escapeText, formatAge, formatBytes, formatDuration, formatTime, shortId, shortIds, table } from '../text.ts'
import type { networkContract } from '../../protocols/ipc/contract/network.ts'
import type { ResultOf } from '../../protocols/ipc/endpoint.ts'
import type { CliContext, CommandInput, CommandSpec, Presenters } from '../command.ts'

type Peers = ResultOf<(typeof networkContract)['peersList']>
type PeerView = Peers['peers'][number]
type PeerAnswer = ResultOf<(typeof networkContract)['peersShow']>
type Connected = ResultOf<(typeof networkContract)['peersConnect']>
type Attempts = ResultOf<(typeof networkContract)['peersAttempts']>
type Ping = ResultOf<(typeof networkContract)['peersPing']>
type Reachability = ResultOf<(typeof networkContract)['networkReachability']>
type DnsNodes = ResultOf<(typeof networkContract)['dnsResolve']>
type Blocked = ResultOf<(typeof networkContract)['peersBlocked']>

export const networkCommands: readonly CommandSpec[] = [
  {
    words: ['peers'],
    summary: 'List the peers and how each is reached',
    options: [
      { flags: '--all', summary: 'also peers that are neither connected nor kept' },
      { flags: '--full', summary: 'whole ids and addresses' },
      { flags: '--watch', summary: 'again after each change' },
    ],
    schemaNames: ['nz.peers/1'],
    run: listPeers,
  },
  {
    words: ['ping'],
    summary: 'Measure round trips to a peer',
    args: [{ name: 'peer', summary: 'contact name, id or address', isRequired: true, completes: 'peer' }],
    options: [
      { flags: '-c, --count <n>', summary: 'pings to send', default: '4' },
      { flags: '-i, --interval <ms>', summary: 'milliseconds between two pings', default: '1000' },
      { flags: '--timeout <ms>', summary: 'milliseconds to wait for each answer', default: '5000' },
    ],
    schemaNames: ['nz.ping/1'],
    run: ping,
  },
]

export const networkPresenters: Presenters = {
  peersWatch: ({ peers }: Peers) => peersText(peers, { isFull: false }),
  peersShow: peerText,
  peersDisconnect: ({ peer }: PeerAnswer) => `✔ disconnected ${nameOf(peer)} (undo: nzcore connect ${peer.peerId})`,
  peersConnect: ({ peer }: Connected) => `✔ connected ${nameOf(peer)}${pathText(peer)}`,
  peersAttempts: ({ attempts }: Attempts) => (attempts.length === 0 ? 'nothing was tried' : attemptsText(attempts)),
  peersBlock: ({ blocked }: Blocked) =>
    `✔ blocked (undo: nzcore unblock <subject>)\n${blocked.map(escapeText).join('\n')}`,
  peersUnblock: ({ blocked }: Blocked) => `✔ unblocked · still blocked: ${blocked.length}`,
  dnsResolve: namesText,
  networkReachability: (answer: Reachability) => reachabilityText(answer, systemClock.nowMs()),
  peersBlocked: ({ blocked }: Blocked) =>
    blocked.length === 0 ? 'nobody is blocked' : blocked.map(escapeText).join('\n'),
}

async function listPeers(context: CliContext, { options }: CommandInput): Promise<void> {
  const { output, signal } = context
  const client = await context.client()
  const params = { all: options['all'] === true, limit: 1_000 }
  const isFull = options['full'] === true
  const print = (answer: Peers): void => output.answer('nz.peers/1', answer, () => peersText(answer.peers, { isFull }))
  if (options['watch'] !== true) return print(await client.peersList(params, { signal }))
  for await (const answer of client.peersWatch(params, { signal })) {
    print(answer)
    if (!output.isJson) output.say('')
  }
}

async function ping(context: CliContext, { args, options }: CommandInput): Promise<void> {
  const { output, signal } = context
  const client = await context.client()
  const params = {
    peer: args['peer'] ?? '',
    count: wholeNumber(options['count'], '--count', 4),
    intervalMs: wholeNumber(options['interval'], '--interval', 1_000),
    timeoutMs: wholeNumber(options['timeout'], '--timeout', 5_000),
  }
  const stop = new AbortController()
  signal.addEventListener('abort', () => stop.abort(signal.reason), { once: true })
  let last: Ping | null = null
  try {
    for await (const summary of client.peersPing(params, { signal: stop.signal })) {
      last = summary
      output.progress(`${summary.sent}/${params.count}  ${lastText(summary)}`)
    }
  } catch (error) {
    // Ctrl-C ends the measuring, not the answer.
    if (last === null || !signal.aborted || isNzError(error)) throw error
  } finally {
    output.progress(null)
  }
  if (last === null) return
  const summary = last
  if (summary.received === 0) throw cliErrors.NZ_CLI_NO_PONG({ data: { peerId: summary.peerId, sent: summary.sent } })
  output.answer('nz.ping/1', summary, () => pingText(summary))
}

function wholeNumber(text: string | boolean | undefined, flag: string, otherwise: number): number {
  if (text === undefined) return otherwise
  const value = Number(text)
  if (Number.isInteger(value) && value >= 0) return value
  throw cliErrors.NZ_CLI_USAGE({ why: `${flag} takes a whole number` })
}

function peersText(peers: readonly PeerView[], { isFull }: { readonly isFull: boolean }): string {
  if (peers.length === 0) return 'no peer is connected\nNext: nzcore connect <peer>   or: nzcore invite'
  const ids = shortIds(peers.map(({ id, peerId }) => id ?? peerId))
  const nowMs = systemClock.nowMs()
  return table(
    ['NAME', 'ID', 'STATE', 'PATH', 'RTT', 'TX/RX', 'SINCE', ...(isFull ? ['ADDRESS', 'AGENT'] : [])],
    peers.map((peer) => {
      const id = isFull ? peer.peerId : (ids.get(peer.id ?? peer.peerId) ?? peer.peerId)
      const [path] = peer.paths
      return [
        peer.name ?? '-',
        id,
        peer.state,
        path === undefined ? '-' : wayText(path, peers),
        peer.rttMs === null ? '-' : formatDuration(peer.rttMs),
        `${formatBytes(sum(peer, 'txBytes'))}/${formatBytes(sum(peer, 'rxBytes'))}`,
        peer.connectedAtMs === null ? '-' : formatAge(nowMs - peer.connectedAtMs),
        ...(isFull ? [path?.address ?? '-', peer.agent ?? '-'] : []),
      ]
    }),
  )
}

function wayName(transport: Ping['transport']): string {
  return transport === 'route' ? 'by a route' : `direct ${transport ?? '-'}`
}

function wayText(
  { transport, via, direction, backend }: PeerView['paths'][number],
  peers: readonly PeerView[],
): string {
  if (transport === 'route') {
    const name = peers.find(({ peerId }) => peerId === via)?.name
    return via === null ? 'route, just lost' : `via ${name == null ? shortId(via) : escapeText(name)}`
  }
  return `${direction === 'inbound' ? 'from' : 'to'} ${transport} by ${backend}`
}

function peerText({ peer, attempts }: PeerAnswer): string {
  const lines = [
    `${nameOf(peer)}  ${peer.state}${peer.isKept ? ' (kept)' : ''}`,
    `peer id  ${peer.peerId}`,
    `agent    ${escapeText(peer.agent ?? '-')}`,
    `rtt      ${peer.rttMs === null ? '-' : formatDuration(peer.rttMs)}`,
    ...peer.paths.map(
      ({ address, direction, backend, streams, txBytes, rxBytes, limit }) =>
        `path     ${escapeText(address)} (${direction}, by ${backend}, ${streams} streams, ${formatBytes(txBytes)} out, ${formatBytes(rxBytes)} in${limitText(limit)})`,
    ),
  ]
  return [...lines, ...(attempts.length === 0 ? [] : ['', attemptsText(attempts)])].join('\n')
}

function attemptsText(attempts: Attempts['attempts']): string {
  const nowMs = systemClock.nowMs()
  return table(
    ['AT', 'ADDRESS', 'CAME TO', 'TOOK', 'RESULT'],
    attempts.map(({ atMs, address, stage, durationMs, code }) => [
      formatTime(atMs, { nowMs }),
      address,
      stage,
      formatDuration(durationMs),
      code ?? 'connected',
    ]),
  )
}

function namesText({ name, addresses, isAuthenticated, refused }: DnsNodes): string {
  const named = addresses.find(({ peerId }) => peerId !== null)?.peerId
  return [
    table(
      ['PEER', 'BY', 'ADDRESS'],
      addresses.map(({ address, peerId, source }) => [
        peerId === null ? 'not named' : shortId(peerId),
        source.toUpperCase(),
        escapeText(address),
      ]),
    ),
    `DNSSEC  ${isAuthenticated ? 'vouches for these records' : 'does not vouch, or its word could be forged on the way'}`,
    ...(refused === 0 ? [] : [`refused ${refused} records that are no address of a node`]),
    `Next: nzcore connect /dnsaddr/${escapeText(name)}/p2p/${named ?? '<peer id>'}`,
  ].join('\n')
}

function pingText({ sent, received, minMs, medianMs, p99Ms, transport, pathChanges }: Ping): string {
  const times = [minMs, medianMs, p99Ms].map((ms) => (ms === null ? '-' : ms.toFixed(ms < 10 ? 2 : 1))).join('/')
  const path = pathChanges === 0 ? 'path did not change' : `path changed ${pathChanges} times`
  return `${sent} sent, ${received} received · min/median/p99 ${times} ms · ${wayName(transport)}, ${path}`
}

function lastText({ lastMs }: Ping): string {
  return lastMs === null ? 'no answer' : formatDuration(lastMs)
}

function nameOf({ name, id, peerId }: PeerView): string {
  return escapeText(name ?? id ?? peerId)
}

function pathText({ paths: [path], rttMs }: PeerView): string {
  const rtt = rttMs === null ? '' : ` ${formatDuration(rttMs)}`
  return path === undefined ? '' : ` · ${wayName(path.transport)} ${escapeText(path.address)}${rtt}`
}

function sum({ paths }: PeerView, key: 'txBytes' | 'rxBytes'): number {
  return paths.reduce((total, path) => total + path[key], 0)
}
