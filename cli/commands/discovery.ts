/** `nzcore discovery`, `service`, `why`: peers, services and values found through others, and why a peer is not reached. */
import { systemClock } from '../../kernel/index.ts'
import { escapeText, formatAge, formatBytes, formatDuration, formatTime, shortId, table } from '../text.ts'
import type { discoveryContract } from '../../protocols/ipc/contract/discovery.ts'
import type { introductionsContract } from '../../protocols/ipc/contract/introductions.ts'
import type { ResultOf } from '../../protocols/ipc/endpoint.ts'
import type { CliContext, CommandInput, CommandSpec, Presenters } from '../command.ts'

type Answer<Name extends keyof typeof discoveryContract> = ResultOf<(typeof discoveryContract)[Name]>
type Found = Answer<'serviceFind'>['services'][number]
type Why = Answer<'peersWhy'>
type Named = Found['peer']

type IntroductionAnswer<Name extends keyof typeof introductionsContract> = ResultOf<
  (typeof introductionsContract)[Name]
>
type Introductions = IntroductionAnswer<'introductionsList'>

const capabilityOption = (summary: string) => ({ flags: '--capability <name>', summary, isRepeatable: true }) as const

export const discoveryCommands: readonly CommandSpec[] = [
  {
    words: ['service', 'announce'],
    summary: 'Announce a service of this node until it is withdrawn',
    args: [{ name: 'name', summary: 'a-z 0-9 . _ - /', isRequired: true }],
    options: [
      capabilityOption('what it can do; more than one may be given'),
      { flags: '--service-version <text>', summary: 'of the service', default: '1' },
      { flags: '--health <state>', summary: 'healthy, degraded, failing or unknown', default: 'healthy' },
    ],
    schemaNames: ['nz.service/1'],
    run: announce,
  },
  {
    words: ['service', 'find'],
    summary: 'Find who offers a service, the best first',
    args: [{ name: 'name', summary: 'of the service; default: any with the capabilities', isRequired: false }],
    options: [
      capabilityOption('what it must be able to do; more than one may be given'),
      { flags: '--no-check', summary: 'do not ask those found whether they are there' },
    ],
    schemaNames: ['nz.foundServices/1'],
    run: find,
  },
]

export const discoveryPresenters: Presenters = {
  discoveryStatus({ discovery }: Answer<'discoveryStatus'>) {
    const { mode, tableSize, proven, estimatedNodes, records, recordBytes, counters } = discovery
    const refused = Object.entries(counters.refused).map(([code, many]) => `${code} ${many}`)
    return [
      `mode      ${mode}`,
      `table     ${tableSize} nodes, ${proven} proven; there seem to be ${estimatedNodes}`,
      `keeps     ${records} records of others, ${formatBytes(recordBytes)}`,
      `asked     ${counters.queries} times in ${counters.lookups} lookups, ${counters.queriesFailed} unanswered`,
      `answered  ${counters.answered}, refused as too many ${counters.limited}`,
      `refused   ${refused.length === 0 ? 'no record' : refused.join(', ')}`,
    ].join('\n')
  },
  discoveryFind: ({ peer, lookup }: Answer<'discoveryFind'>) =>
    [
      `✔ ${nameOf(peer)}  ${lookup.asked} asked, ${lookup.hops} hops, ${formatDuration(lookup.durationMs)}`,
      ...(lookup.addresses ?? []).map((address) => `  ${escapeText(address)}`),
    ].join('\n'),
  discoveryPut: ({ name, holders }: Answer<'discoveryPut'>) => `✔ published ${name} at ${holders} nodes`,
  discoveryGet: ({ value }: Answer<'discoveryGet'>) => escapeText(value),
  serviceList({ services }: Answer<'serviceList'>) {
    if (services.length === 0) return 'this node announces nothing\nNext: nzcore service announce <name>'
    const nowMs = systemClock.nowMs()
    return table(
      ['SERVICE', 'VERSION', 'HEALTH', 'CAPABILITIES', 'KEPT BY', 'ANNOUNCED'],
      services.map(({ name, version, health, capabilities, holders, announcedAtMs }) => [
        name,
        version,
        health,
        capabilities.join(' ') || '-',
        `${holders}`,
        announcedAtMs === null ? 'not yet' : `${formatAge(nowMs - announcedAtMs)} ago`,
      ]),
    )
  },
  serviceWithdraw: ({ services }: Answer<'serviceWithdraw'>) => `✔ withdrawn · still announced: ${services.length}`,
  peersWhy: whyText,
  introductionsList: ({ introductions }: Introductions) => introductionsText(introductions),
  introductionsMake: ({ id }: IntroductionAnswer<'introductionsMake'>) =>
    `✔ introduced · both are asked (there: nzcore introductions accept ${escapeText(id)})`,
  introductionsAccept: ({ introduction: { name, state } }: IntroductionAnswer<'introductionsAccept'>) =>
    state === 'joined'
      ? `✔ ${escapeText(name)} is a contact now`
      : `✔ accepted · ${escapeText(name)} is a contact as soon as the other side accepts, too`,
  introductionsDecline: ({ introductions }: Introductions) => `✔ declined\n${introductionsText(introductions)}`,
}

async function announce({ client, output, signal }: CliContext, { args, options, lists }: CommandInput): Promise<void> {
  const params = {
    name: args['name'] ?? '',
    version: String(options['serviceVersion'] ?? '1'),
    // The API refuses others with its own words.
    health: String(options['health'] ?? 'healthy') as 'healthy',
    capabilities: [...(lists['capability'] ?? [])],
  }
  const answer = await (await client()).serviceAnnounce(params, { signal })
  const { name, holders } = answer.service
  const kept = holders === 0 ? 'nobody could take it yet; it is tried again' : `kept by ${holders} nodes`
  output.answer('nz.service/1', answer, () => `✔ announced ${name} · ${kept} (undo: nzcore service withdraw ${name})`)
}

async function find({ client, output, signal }: CliContext, { args, options, lists }: CommandInput): Promise<void> {
  const name = args['name']
  const params = {
    capabilities: [...(lists['capability'] ?? [])],
    check: options['check'] !== false,
    ...(name === undefined ? {} : { name }),
  }
  const answer = await (await client()).serviceFind(params, { signal })
  output.answer('nz.foundServices/1', answer, () => foundText(answer.services))
}

function foundText(services: readonly Found[]): string {
  if (services.length === 0) return 'nobody offers that'
  return table(
    ['PEER', 'SERVICE', 'VERSION', 'HEALTH', 'STATE', 'RTT', 'TRUST', 'CAPABILITIES'],
    services.map(({ peer, name, version, health, state, rttMs, trust, capabilities }) => [
      nameOf(peer),
      name,
      version,
      health,
      state,
      rttMs === null ? '-' : formatDuration(rttMs),
      trust,
      capabilities.join(' ') || '-',
    ]),
  )
}

function whyText({ peer, verdict, attempts, lookup }: Why): string {
  const head = verdict.state === 'connected' ? 'CONNECTED' : 'NOT CONNECTED'
  const tries = attempts.length === 0 ? '' : ` · ${attempts.length} ${attempts.length === 1 ? 'attempt' : 'attempts'}`
  const code = verdict.code === null ? '' : ` · ${verdict.code}`
  const rows = attempts.map(({ transport, address, stage, says, durationMs, isPunch }) => [
    ` ${isPunch ? 'punch' : transport}`,
    address.replace(/\/p2p\/[^/]+$/, ''),
    stage,
    formatDuration(durationMs),
    says,
  ])
  return [
    `${head}  ${escapeText(peer.name ?? peer.id ?? peer.peerId)}${tries}${code}`,
    ...(rows.length === 0 ? [] : [table([' BY', 'ADDRESS', 'CAME TO', 'TOOK', 'RESULT'], rows)]),
    ...(lookup === null ? [] : [lookupText(lookup)]),
    `Why: ${escapeText(verdict.says)}${nextTryText(verdict)}`,
    ...(verdict.next === null ? [] : [`Do: ${escapeText(verdict.next)}`]),
  ].join('\n')
}

function nextTryText({ nextTryAtMs }: Why['verdict']): string {
  return nextTryAtMs === null ? '' : `; next direct try ${formatTime(nextTryAtMs, { nowMs: systemClock.nowMs() })}`
}

function lookupText({ asked, addresses, durationMs }: NonNullable<Why['lookup']>): string {
  const found = addresses === null ? 'nobody knew it' : `${addresses.length} addresses`
  return ` search among other nodes: ${asked} asked, ${found}, ${formatDuration(durationMs)}`
}

function introductionsText(introductions: Introductions['introductions']): string {
  if (introductions.length === 0) return 'nobody is to be introduced'
  return table(
    ['ID', 'NAME', 'PEER', 'BY', 'STATE', 'THERE'],
    introductions.map(({ id, name, peerId, introducer, state, isAcceptedThere }) => [
      id,
      name,
      shortId(peerId),
      nameOf(introducer),
      state,
      isAcceptedThere ? 'accepted' : '-',
    ]),
  )
}

function nameOf({ name, peerId }: Named): string {
  return name === null ? shortId(peerId) : escapeText(name)
}
