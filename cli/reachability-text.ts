/** How `nzcore reachability` reads, and what a relay lets pass. */
import { escapeText, formatAge, formatBytes, formatTime, shortId } from './text.ts'
import type { networkContract } from '../protocols/ipc/contract/network.ts'
import type { ResultOf } from '../protocols/ipc/endpoint.ts'

type Reachability = ResultOf<(typeof networkContract)['networkReachability']>
type Limit = ResultOf<(typeof networkContract)['peersShow']>['peer']['paths'][number]['limit']

const VERDICTS: Readonly<Record<Reachability['verdict'], string>> = {
  direct: 'peers reach this node directly',
  punchable: 'peers reach this node with the help of a relay',
  relayed: 'peers reach this node through relays',
  unreachable: 'peers cannot reach this node; it reaches them',
  unknown: 'it is not known whether peers reach this node',
}

export function reachabilityText(answer: Reachability, nowMs: number): string {
  const { verdict, why, observed, observers, addresses, portMapping, relays, serving } = answer
  const seen =
    observed.length === 0 ? '' : `; ${observers} ${observers === 1 ? 'peer sees' : 'peers see'} ${observed.join(', ')}`
  return [
    `${verdict === 'unreachable' || verdict === 'unknown' ? '!' : '✔'} ${VERDICTS[verdict]}`,
    `because   ${escapeText(why)}`,
    `NAT       ${answer.mapping} mapping, ${answer.filtering} filtering${seen}`,
    ...answer.stun.map((finding) => `UDP       ${stunText(finding)}`),
    ...addresses.map((address) => `address   ${escapeText(address)}`),
    ...(portMapping === null
      ? []
      : [
          `router    ${portMapping.state}${portMapping.address === null ? '' : ` ${portMapping.address}`}: ${escapeText(portMapping.why)}`,
        ]),
    ...relays.map((relay) => `relay     ${relayText(relay, nowMs)}`),
    ...(serving === null ? [] : [`serving   ${servingText(serving)}`]),
    ...answer.directTries.map((tries) => `piercing  ${triesText(tries, nowMs)}`),
    ...(verdict === 'unreachable'
      ? ['Do: nzcore config set network.relay.use   or forward the TCP port to this machine']
      : []),
  ].join('\n')
}

function stunText({ server, state, address, mapping, filtering }: Reachability['stun'][number]): string {
  if (state !== 'answered') return `${escapeText(server)} ${state === 'trying' ? 'is asked' : 'does not answer'}`
  return `${mapping} mapping, ${filtering} filtering; ${escapeText(server)} sees ${escapeText(address ?? '-')}`
}

/** ` · relay cuts after 1.2 MB or 3m`; empty when it does not. */
export function limitText(limit: Limit): string {
  if (limit === null) return ''
  const bounds = [
    ...(limit.bytesLeft === null ? [] : [formatBytes(limit.bytesLeft)]),
    ...(limit.secondsLeft === null ? [] : [formatAge(limit.secondsLeft * 1_000)]),
  ]
  return bounds.length === 0 ? '' : `, the relay cuts after ${bounds.join(' or ')}`
}

function relayText(relay: Reachability['relays'][number], nowMs: number): string {
  const { peerId, name, state, code, expiresAtMs, circuitBytes, circuitSeconds } = relay
  const who = `${name === null ? shortId(peerId) : escapeText(name)} ${state}`
  if (state !== 'reserved') return code === null ? who : `${who}: ${code}`
  const until = expiresAtMs === null ? '' : `, renewed within ${formatAge(Math.max(0, expiresAtMs - nowMs))}`
  return `${who}${until}${limitText({ bytesLeft: circuitBytes, secondsLeft: circuitSeconds }).replace('the relay', 'it')}`
}

function triesText({ peerId, name, tries, nextTryAtMs }: Reachability['directTries'][number], nowMs: number): string {
  const who = name === null ? shortId(peerId) : escapeText(name)
  const next = nextTryAtMs === null ? 'one is under way' : `next ${formatTime(nextTryAtMs, { nowMs })}`
  return `${who}: ${tries} direct tries failed, ${next}`
}

function servingText(serving: NonNullable<Reachability['serving']>): string {
  const { reservations, maxReservations, circuits, maxCircuits, carriedBytes, refused, cutBySeconds, cutByBytes } =
    serving
  const bounds = [
    ...(serving.circuitBytes === 0 ? [] : [formatBytes(serving.circuitBytes)]),
    ...(serving.circuitSeconds === 0 ? [] : [formatAge(serving.circuitSeconds * 1_000)]),
  ]
  return [
    `${reservations}/${maxReservations} reservations`,
    `${circuits}/${maxCircuits} connections`,
    bounds.length === 0 ? 'never cut' : `each cut after ${bounds.join(' or ')}`,
    `${formatBytes(carriedBytes)} carried`,
    `${cutBySeconds + cutByBytes} cut`,
    `${refused} refused`,
  ].join(' · ')
}
