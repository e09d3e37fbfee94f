/** `nzcore route` and `nzcore trace`: which peers are reached through other nodes, and by which. */
import { cliErrors } from '../errors.ts'
import { escapeText, formatAge, formatDuration, shortId, table } from '../text.ts'
import type { routeContract } from '../../protocols/ipc/contract/route.ts'
import type { ResultOf } from '../../protocols/ipc/endpoint.ts'
import type { CommandSpec, Presenters } from '../command.ts'

type Routes = ResultOf<(typeof routeContract)['routeList']>
type Status = ResultOf<(typeof routeContract)['routeStatus']>
type Trace = ResultOf<(typeof routeContract)['routeTrace']>['trace']
type Peer = Trace['peer']

export const routeCommands: readonly CommandSpec[] = [
  {
    words: ['trace'],
    summary: 'Show every node on the way to a peer, with its delay and its signatures',
    args: [{ name: 'peer', summary: 'contact name, id or address', isRequired: true, completes: 'peer' }],
    options: [
      { flags: '--verify', summary: 'show whether each node has signed; fail when one has not' },
      { flags: '--max-hops <n>', summary: 'nodes between this one and the peer, at most; 0 to 16' },
    ],
    schemaNames: ['nz.trace/1'],
    run: async ({ client, output, signal }, { args, options }) => {
      const isVerifying = options['verify'] === true
      const params = { peer: args['peer'] ?? '', ...maxHopsOf(options['maxHops']) }
      const answer = await (await client()).routeTrace(params, { signal })
      output.answer('nz.trace/1', answer, () => traceText(answer.trace, isVerifying))
      return answer.trace.isVerified ? undefined : 'refusedByTrust'
    },
  },
]

export const routePresenters: Presenters = {
  routeList({ routes }: Routes) {
    if (routes.length === 0)
      return 'no route is known\nNext: connect to a node, and trust it: nzcore trust set <peer> medium'
    return table(
      ['TO', 'THROUGH', 'METRIC', 'AGE', ''],
      routes.flatMap(({ destination, ways }) =>
        ways.map(({ nextHop, metric, ageMs, isSelected, isFeasible }, at) => [
          at === 0 ? nameOf(destination) : '',
          nextHop.peerId === destination.peerId ? 'direct' : nameOf(nextHop),
          String(metric),
          formatAge(ageMs),
          isSelected ? 'in use' : isFeasible ? 'ready' : 'not without a loop',
        ]),
      ),
    )
  },
  routeStatus({ routing: { neighbours, relayedPaths, streams, dropped, refused } }: Status) {
    const refusals = Object.entries(refused).map(([code, count]) => `! ${counted(count, 'message')} refused: ${code}`)
    const head = [
      `${counted(relayedPaths, 'path')} passed on for others`,
      `${counted(streams, 'stream')} over routes`,
      `${counted(dropped, 'message')} dropped`,
    ].join(' · ')
    if (neighbours.length === 0) return [head, 'no neighbour routes with this node', ...refusals].join('\n')
    const rows = neighbours.map(({ peer, isOpen, rttMs, delivery }) => [
      nameOf(peer),
      isOpen ? 'open' : 'agreeing',
      rttMs === null ? '-' : formatDuration(rttMs),
      delivery === null ? '-' : `${percent(delivery.in)}/${percent(delivery.out)}`,
    ])
    return [head, ...refusals, table(['NEIGHBOUR', 'LINK', 'RTT', 'HEARD HERE/THERE'], rows)].join('\n')
  },
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

function traceText({ peer, hops, rttMs, isVerified }: Trace, isVerifying: boolean): string {
  const rows = hops.map(({ peer: hop, rttMs: tripMs, isSetupSigned, isAnswerSigned }, at) => [
    String(at + 1),
    nameOf(hop),
    hop.peerId,
    `+${formatDuration(tripMs)}`,
    ...(isVerifying ? [signedText(isSetupSigned, isAnswerSigned)] : []),
  ])
  const relays = hops.length - 1
  const through = relays === 0 ? 'directly' : `through ${counted(relays, 'node')}`
  const lines = [table(['HOP', 'NAME', 'PEER ID', 'RTT', ...(isVerifying ? ['SIGNATURES'] : [])], rows)]
  if (isVerified)
    lines.push(`✔ ${nameOf(peer)} is reached ${through}${rttMs === null ? '' : ` in ${formatDuration(rttMs)}`}`)
  else lines.push(`✖ the way to ${nameOf(peer)} is not the one its nodes have signed`)
  return lines.join('\n')
}

function signedText(isSetupSigned: boolean, isAnswerSigned: boolean): string {
  if (isSetupSigned && isAnswerSigned) return '✔ there and back'
  if (!isSetupSigned && !isAnswerSigned) return '✖ neither there nor back'
  return isSetupSigned ? '✖ not on the way back' : '✖ not on the way there'
}

function maxHopsOf(text: string | boolean | undefined): { readonly maxHops?: number } {
  if (text === undefined) return {}
  const maxHops = Number(text)
  if (text === '' || !Number.isInteger(maxHops) || maxHops < 0 || maxHops > 16)
    throw cliErrors.NZ_CLI_USAGE({ why: '--max-hops takes a whole number from 0 to 16' })
  return { maxHops }
}

function nameOf({ peerId, name }: Peer): string {
  return name === null ? shortId(peerId) : escapeText(name)
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}
