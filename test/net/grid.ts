/** Pairs of peers behind NATs of all kinds, each connected with the help of two relays: who ends up how. */
import { mostReachableFirst } from '../../modules/network/address.ts'
import { ATTEMPT_DELAY_MS } from '../../modules/network/staggered.ts'
import { Lab } from './lab.ts'
import { LabPeer, until } from './peer.ts'
import type { DialAttempt } from '../../modules/network/service.ts'
import type { NodeConfig } from '../fake/network-node.ts'
import type { NatKind } from './topology.ts'

export type Side = 'none' | NatKind

export interface Cell {
  readonly from: Side
  readonly to: Side
  /** Until the first connection, of whatever kind; a second try counts when the first took longer than QUICK_MS. */
  readonly connectedInMs: number
  /** What the node may have waited by its own rules: ATTEMPT_DELAY_MS for each address before the one that led to it. */
  readonly pausedMs: number
  /** Addresses that were given up only when their time was over, before the one that led to it. */
  readonly timedOut: readonly DialAttempt[]
  /** How new streams go in the end. */
  readonly path: 'direct' | 'relay'
  readonly echoed: number
  readonly attempts: readonly DialAttempt[]
}

/** Longer than three punches in a row take. */
const DIRECT_TIMEOUT_MS = 45_000
const ECHO_BYTES = 200_000
/** Any connection comes about within it, by a relay where there is no other way. */
export const QUICK_MS = 2_000

/** Pairs that no protocol over TCP connects directly: nobody can tell the port a symmetric NAT will use next. */
export function isRelayOnly(from: Side, to: Side): boolean {
  const isClosed = (side: Side): boolean => side === 'symmetric' || side === 'port-restricted'
  return isClosed(from) && isClosed(to) && (from === 'symmetric' || to === 'symmetric')
}

/** The network: two relays, and for each kind asked for a host on the left and one on the right, behind NATs of their own. */
export async function openGrid(pairs: ReadonlyArray<readonly [Side, Side]>): Promise<Lab> {
  const sides = [...new Set(pairs.flatMap(([from, to]) => [`left ${from}`, `right ${to}`]))].map(
    (text) => text.split(' ') as [string, Side],
  )
  const behind = sides.filter(([, kind]) => kind !== 'none')
  return await Lab.open({
    segments: {
      internet: { subnet: '45.0.0.0/24' },
      ...Object.fromEntries(
        behind.map(([side, kind], at) => [`lan-${side[0]}-${kind}`, { subnet: `10.0.${at}.0/24` }]),
      ),
    },
    nats: Object.fromEntries(
      behind.map(([side, kind]) => [
        `nat-${side[0]}-${kind}`,
        { inside: `lan-${side[0]}-${kind}`, outside: 'internet', kind: kind as NatKind },
      ]),
    ),
    hosts: {
      'relay-1': { on: 'internet' },
      'relay-2': { on: 'internet' },
      ...Object.fromEntries(
        sides.map(([side, kind]) => [
          `${side[0]}-${kind}`,
          { on: kind === 'none' ? 'internet' : `lan-${side[0]}-${kind}` },
        ]),
      ),
    },
  })
}

/** Starts two relays on `relay-1` and `relay-2`; their addresses for `relay.use`. */
export async function startRelays(lab: Lab): Promise<{ readonly peers: readonly LabPeer[]; readonly use: string[] }> {
  const machines = ['relay-1', 'relay-2']
  const peers = await Promise.all(
    machines.map(async (machine) => await LabPeer.start(lab, machine, { relay: { serve: true } })),
  )
  const use = peers.map(({ peerId }, at) => `/ip4/${lab.address(machines[at] ?? '')}/tcp/4001/p2p/${peerId}`)
  return { peers, use }
}

/** Starts a peer that has places at all relays given. */
export async function startBehind(
  lab: Lab,
  machine: string,
  use: readonly string[],
  config: NodeConfig = {},
): Promise<LabPeer> {
  const peer = await LabPeer.start(lab, machine, { relay: { use: [...use] }, ...config })
  await until(
    async () => await peer.reachability(),
    ({ relays, observers }) => relays.every(({ state }) => state === 'reserved') && observers === use.length,
  )
  return peer
}

export async function runGrid(pairs: ReadonlyArray<readonly [Side, Side]>): Promise<readonly Cell[]> {
  await using lab = await openGrid(pairs)
  const { use } = await startRelays(lab)
  const machines = [...new Set(pairs.flatMap(([from, to]) => [`l-${from}`, `r-${to}`]))]
  const peers = new Map<string, LabPeer>()
  for (const machine of machines) peers.set(machine, await startBehind(lab, machine, use))
  const cells: Cell[] = []
  for (const [from, to] of pairs) {
    const [left, right] = [peers.get(`l-${from}`), peers.get(`r-${to}`)]
    if (left === undefined || right === undefined) throw new Error(`${from} ${to}`)
    const first = await firstConnection(left, right)
    const isDirect = await until(
      async () => await left.peer(right),
      (peer) => peer?.paths.some(({ transport }) => transport !== 'relay') ?? false,
      isRelayOnly(from, to) ? 1 : DIRECT_TIMEOUT_MS,
    ).then(
      () => true,
      () => false,
    )
    cells.push({
      from,
      to,
      ...first,
      path: isDirect ? 'direct' : 'relay',
      echoed: await left.echo(right, ECHO_BYTES),
      attempts: [...(await left.attempts(right)), ...(await right.attempts(left))],
    })
  }
  return cells
}

type First = Pick<Cell, 'connectedInMs' | 'pausedMs' | 'timedOut'>

/** Other work of the machine may delay one try, not what the node itself does. */
async function firstConnection(left: LabPeer, right: LabPeer): Promise<First> {
  const addresses = await right.addresses()
  let connectedInMs = await left.connect(right, addresses)
  const attempts = await left.attempts(right)
  const used = attempts.find(({ code }) => code === null)
  const timedOut = attempts.slice(0, used === undefined ? undefined : attempts.indexOf(used))
  const before = mostReachableFirst(addresses).indexOf(used?.address ?? '')
  if (connectedInMs > QUICK_MS) {
    await left.disconnect(right)
    connectedInMs = await left.connect(right, addresses)
  }
  return {
    connectedInMs,
    pausedMs: before === -1 ? Infinity : before * ATTEMPT_DELAY_MS,
    timedOut: timedOut.filter(({ code }) => code === 'NZ_NETWORK_TIMEOUT'),
  }
}

export const ECHOED = ECHO_BYTES

export function gridText(cells: readonly Cell[]): string {
  const rows = cells.map(({ from, to, path, connectedInMs, pausedMs }) =>
    [
      from.padEnd(18),
      to.padEnd(18),
      path.padEnd(8),
      `${connectedInMs.toFixed(0).padStart(6)} ms, pauses of ${pausedMs} ms at most`,
    ].join(' '),
  )
  const direct = cells.filter(({ path }) => path === 'direct').length
  return [
    'from               to                 path     connected in',
    ...rows,
    `${direct} of ${cells.length} direct`,
    '',
  ].join('\n')
}
