/** `nzcore trust`: how far peers are trusted, and why. */
import { systemClock } from '../../kernel/index.ts'
import { cliErrors } from '../errors.ts'
import { escapeText, formatTime, parseDuration, shortId, table } from '../text.ts'
import type { trustContract } from '../../protocols/ipc/contract/trust.ts'
import type { ResultOf } from '../../protocols/ipc/endpoint.ts'
import type { CliContext, CommandSpec, Presenters } from '../command.ts'

type TrustAnswer = ResultOf<(typeof trustContract)['trustExplain']>
type Trust = TrustAnswer['trust']
type Peer = Trust['peer']
type Statements = ResultOf<(typeof trustContract)['trustList']>['statements']
type StatusAnswer = ResultOf<(typeof trustContract)['trustStatus']>
type Updates = ResultOf<(typeof trustContract)['trustLog']>['updates']
type Synced = ResultOf<(typeof trustContract)['trustSync']>

const LEVELS = ['UNKNOWN', 'LOW', 'MEDIUM', 'HIGH', 'ULTIMATE'] as const

const peerArg = { name: 'peer', summary: 'name of a contact, nz1… id, or peer id', isRequired: true } as const

export const trustCommands: readonly CommandSpec[] = [
  {
    words: ['trust', 'set'],
    summary: 'State how far this node trusts a peer',
    args: [peerArg, { name: 'level', summary: 'unknown, low, medium, high or ultimate', isRequired: true }],
    options: [
      { flags: '--vouch <depth>', summary: 'how far it may vouch for others: 0 to 3', default: '0' },
      { flags: '--expires <duration>', summary: 'how long it is true: 2h, 30d; default: until it is changed' },
    ],
    schemaNames: ['nz.trust/1'],
    run: async ({ client, output, signal }, { args, options }) => {
      const level = LEVELS.find((name) => name === args['level']?.toUpperCase())
      if (level === undefined)
        throw cliErrors.NZ_CLI_USAGE({ why: `a level is one of ${LEVELS.join(', ').toLowerCase()}` })
      const vouchDepth = Number(options['vouch'] ?? 0)
      if (![0, 1, 2, 3].includes(vouchDepth)) throw cliErrors.NZ_CLI_USAGE({ why: 'a depth is 0, 1, 2 or 3' })
      const expires = typeof options['expires'] === 'string' ? { expiresInMs: durationOf(options['expires']) } : {}
      const params = { peer: args['peer'] ?? '', level, vouchDepth, ...expires }
      const answer = await (await client()).trustSet(params, { signal })
      output.answer('nz.trust/1', answer, () => `✔ ${statedText(answer.trust)}`)
    },
  },
  {
    words: ['trust', 'revoke'],
    summary: 'Revoke a peer for ever, and tell who trusts this node',
    args: [peerArg],
    options: [
      { flags: '--reason <reason>', summary: 'none, lost, replaced or misbehaved; everybody is told', default: 'none' },
      { flags: '--yes', summary: 'do not ask' },
    ],
    schemaNames: ['nz.trust/1'],
    run: async (context, { args, options }) => {
      const { client, output, signal } = context
      const reason = (['none', 'lost', 'replaced', 'misbehaved'] as const).find((name) => name === options['reason'])
      if (reason === undefined) throw cliErrors.NZ_CLI_USAGE({ why: 'a reason is none, lost, replaced or misbehaved' })
      const api = await client()
      const peer = args['peer'] ?? ''
      const { trust } = await api.trustExplain({ peer }, { signal })
      if (options['yes'] !== true && !(await isConfirmed(context, trust.peer))) {
        output.say('nothing was revoked')
        return 'interrupted'
      }
      const answer = await api.trustRevoke({ peer: trust.peer.peerId, reason }, { signal })
      output.answer('nz.trust/1', answer, () => `✔ ${nameOf(answer.trust.peer)} is revoked for ever`)
      return undefined
    },
  },
]

export const trustPresenters: Presenters = {
  trustList({ statements }: { readonly statements: Statements }) {
    if (statements.length === 0)
      return 'this node has said nothing about anybody\nNext: nzcore trust set <peer> <level>'
    const nowMs = systemClock.nowMs()
    return table(
      ['PEER', 'LEVEL', 'MAY VOUCH', 'UNTIL'],
      statements.map(({ subject, kind, level, vouchDepth, expiresAtMs, isExpired }) => [
        nameOf(subject),
        kind === 'revoke' ? 'revoked' : level,
        vouchText(vouchDepth),
        isExpired ? 'over' : untilText(expiresAtMs, nowMs),
      ]),
    )
  },
  trustResume: ({ ownLog }: ResultOf<(typeof trustContract)['trustResume']>) =>
    ownLog === 'ready' ? '✔ this node states again' : '! this identity has signed two histories: nzcore trust log',
  trustStatus({ trust: { root, issuers, updates, forked, ownLog, refused } }: StatusAnswer) {
    const lines = [`✔ ${updates} updates of ${issuers} issuers · root ${root.slice(0, 16)}`]
    for (const peer of forked) lines.push(`! ${nameOf(peer)} has signed two histories: nzcore trust log ${peer.peerId}`)
    if (ownLog === 'unsure')
      lines.push('! restored: waits for a contact to tell what this node stated since the backup')
    const counts = Object.entries(refused).map(([code, times]) => `${escapeText(code)} ${times}`)
    if (counts.length > 0) lines.push(`  refused since the start: ${counts.join(', ')}`)
    return lines.join('\n')
  },
  trustExplain: ({ trust }: TrustAnswer) => explainText(trust),
  trustWithdraw: ({ trust }: TrustAnswer) => `✔ taken back; now ${levelText(trust)}`,
  trustLog({ updates }: { readonly updates: Updates }) {
    if (updates.length === 0) return 'no updates are known of this issuer'
    const nowMs = systemClock.nowMs()
    return table(
      ['NO', 'SAYS', 'OF', 'LEVEL', 'MAY VOUCH', 'UNTIL', 'ISSUED', 'ID'],
      updates.map((update) => [
        `${update.sequence}${update.isEvidence ? ' !' : ''}`,
        update.kind,
        nameOf(update.subject),
        update.level ?? '',
        vouchText(update.vouchDepth),
        update.kind === 'trust' ? untilText(update.expiresAtMs, nowMs) : '',
        formatTime(update.issuedAtMs, { nowMs }),
        update.id.slice(0, 12),
      ]),
    )
  },
  trustSync: ({ received, sent, isEqual }: Synced) =>
    `✔ ${received} updates were new here, ${sent} there${isEqual ? '' : '\n! neither side follows all issuers of the other'}`,
}

function explainText(trust: Trust): string {
  const lines = [levelText(trust), `  because ${becauseText(trust)}`]
  for (const [at, path] of trust.paths.entries()) {
    const steps = path.map(({ issuer, subject, level, vouchDepth, weight }) => {
      const vouch = vouchDepth === 0 ? '' : ` and lets it vouch ${vouchDepth} deep`
      return `    ${nameOf(issuer)} says ${level} of ${nameOf(subject)}${vouch}: ${weight}`
    })
    lines.push(`  path ${at + 1}: weight ${path.at(-1)?.weight ?? 0} of 1000`, ...steps)
  }
  if (trust.isForked) lines.push('  ! it has signed two histories: what it says counts for nothing')
  if (trust.isCut) lines.push('  ! there are more statements than were looked at')
  lines.push(`  may ${trust.mayDo.length === 0 ? 'do nothing' : trust.mayDo.join(', ')}`)
  return lines.join('\n')
}

function becauseText({ because, revokedBy }: Trust): string {
  switch (because) {
    case 'self':
      return 'it is this node'
    case 'own':
      return 'this node says so'
    case 'path':
      return 'of what others say'
    case 'revoked':
      return `it was revoked by ${revokedBy.map(nameOf).join(', ')}`
    case 'none':
      return 'nobody this node listens to says anything of it'
  }
}

function levelText({ peer, level, weight, because }: Trust): string {
  return because === 'revoked' ? `${nameOf(peer)}: revoked` : `${nameOf(peer)}: ${level} (${weight} of 1000)`
}

function nameOf({ peerId, name }: Peer): string {
  return name === null ? shortId(peerId) : escapeText(name)
}

/** What was just stated, with its limits. */
function statedText(trust: Trust): string {
  const said = trust.because === 'own' ? trust.paths[0]?.[0] : undefined
  const vouch = said === undefined || said.vouchDepth === 0 ? '' : `, may vouch ${said.vouchDepth} deep`
  const until =
    said?.expiresAtMs == null ? '' : `, until ${formatTime(said.expiresAtMs, { nowMs: systemClock.nowMs() })}`
  return `${levelText(trust)}${vouch}${until}`
}

function vouchText(depth: number): string {
  return depth === 0 ? 'no' : `${depth} deep`
}

function untilText(expiresAtMs: number | null, nowMs: number): string {
  return expiresAtMs === null ? 'changed' : formatTime(expiresAtMs, { nowMs })
}

async function isConfirmed({ prompt }: CliContext, peer: Peer): Promise<boolean> {
  return await prompt.confirm(`Revoking ${nameOf(peer)} cannot be undone. Revoke it?`, { default: false })
}

function durationOf(text: string): number {
  const durationMs = parseDuration(text)
  if (durationMs === null) throw cliErrors.NZ_CLI_USAGE({ why: 'a duration is a number and a unit: 90s, 10m, 2h, 7d' })
  return durationMs
}
