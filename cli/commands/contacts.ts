/** `nzcore invite`, `join` and `contacts`: how two people introduce their nodes. */
import { isNzError, systemClock } from '../../kernel/index.ts'
import { cliErrors } from '../errors.ts'
import { displayWidth, escapeText, formatAge, formatDuration, formatTime, shortId, shortIds, table } from '../text.ts'
import type { contactsContract } from '../../protocols/ipc/contract/contacts.ts'
import type { ResultOf } from '../../protocols/ipc/endpoint.ts'
import type { CliContext, CommandSpec, Presenters } from '../command.ts'

type JoinView = ResultOf<(typeof contactsContract)['joinsStart']>['join']
type InviteAnswer = ResultOf<(typeof contactsContract)['invitesCreate']>
type Contacts = ResultOf<(typeof contactsContract)['contactsList']>
type ContactAnswer = ResultOf<(typeof contactsContract)['contactsRename']>
type Invites = ResultOf<(typeof contactsContract)['invitesList']>

/** The longest ticket that is read from standard input, with white space around it. */
const MAX_TICKET_INPUT_BYTES = 4_096
/** How long a decline may take when the command is interrupted. */
const DECLINE_TIMEOUT_MS = 2_000

export const contactsCommands: readonly CommandSpec[] = [
  {
    words: ['invite'],
    summary: 'Make a ticket with which one peer may join, and wait for it',
    options: [
      { flags: '--expires <duration>', summary: 'how long the ticket is valid: 90s, 10m, 2h, 7d', default: '10m' },
      { flags: '--yes', summary: 'accept whoever has the ticket without comparing words' },
      { flags: '--wait', summary: 'wait for the join also without a terminal' },
      { flags: '--no-wait', summary: 'print the ticket and end' },
      { flags: '--qr', summary: 'print a QR code also without a terminal' },
      { flags: '--no-qr', summary: 'print no QR code' },
    ],
    schemaNames: ['nz.invite/1', 'nz.join/1'],
    run: async (context, { options }) => {
      const accepts = options['yes'] === true ? 'automatically' : 'ask'
      const isWaiting = options['wait'] === true || (options['wait'] !== false && context.output.isTty)
      if (isWaiting && accepts === 'ask' && !context.prompt.isAvailable) throw cliErrors.NZ_CLI_WORDS_NOT_SHOWN()
      const expiresInMs = durationOf(String(options['expires'] ?? '10m'))
      const client = await context.client()
      const answer = await client.invitesCreate({ expiresInMs, accepts }, { signal: context.signal })
      const qr = options['qr'] === true || (options['qr'] !== false && context.output.isTty)
      const picture = qr && !context.output.isJson ? await qrOf(answer.ticket, context) : ''
      context.output.answer('nz.invite/1', answer, () => `${inviteText(answer)}${picture}`)
      if (isWaiting) await waitForJoin(context, answer)
    },
  },
  {
    words: ['join'],
    summary: 'Use a ticket of another node: compare the words, then both are contacts',
    args: [{ name: 'ticket', summary: 'nzi1…, or - to read it from standard input', isRequired: true }],
    options: [
      { flags: '--yes', summary: 'accept by the ticket alone, without comparing words' },
      { flags: '--as <name>', summary: 'what to call the other node here' },
    ],
    schemaNames: ['nz.join/1'],
    run: async (context, { args, options }) => {
      const accepts = options['yes'] === true ? 'automatically' : 'ask'
      const given = args['ticket'] ?? ''
      if (accepts === 'ask' && !context.prompt.isAvailable) {
        throw cliErrors.NZ_CLI_WORDS_NOT_SHOWN()
      }
      const ticket = (given === '-' ? await readTicket(context) : given).replace(/\s+/g, '')
      const name = typeof options['as'] === 'string' ? { name: options['as'] } : {}
      const client = await context.client()
      context.output.progress('connecting…')
      const { join } = await client.joinsStart({ ticket, accepts, ...name }, { signal: context.signal })
      context.output.progress(null)
      context.output.say(`✔ invite verified · ${escapeText(join.name)}${pathText(join)}`)
      const joined = await finish(context, join, accepts)
      context.output.answer('nz.join/1', { join: joined }, () => joinedText(joined))
    },
  },
]

export const contactsPresenters: Presenters = {
  contactsList({ contacts }: Contacts) {
    if (contacts.length === 0) return 'no contacts yet\nNext: nzcore invite   or: nzcore join <ticket>'
    const ids = shortIds(contacts.map(({ id }) => id))
    const nowMs = systemClock.nowMs()
    return table(
      ['NAME', 'ID', 'STATE', 'VERIFIED', 'SINCE'],
      contacts.map(({ name, id, state, verifiedBy, addedAtMs }) => [
        name,
        ids.get(id) ?? id,
        state,
        verifiedBy,
        formatAge(nowMs - addedAtMs),
      ]),
    )
  },
  contactsRename: ({ contact }: ContactAnswer) => `✔ renamed to ${escapeText(contact.name)}`,
  contactsRemove: ({ contact }: ContactAnswer) =>
    `✔ removed ${escapeText(contact.name)} (undo: a new invite)\n! it still has this node in its own contacts`,
  invitesList({ invites }: Invites) {
    if (invites.length === 0) return 'no invites\nNext: nzcore invite'
    const nowMs = systemClock.nowMs()
    return table(
      ['INVITE', 'STATE', 'EXPIRES', 'ACCEPTS', 'USED BY'],
      invites.map(({ inviteId, state, expiresAtMs, accepts, claimedBy }) => [
        inviteId,
        state,
        formatTime(expiresAtMs, { nowMs }),
        accepts === 'ask' ? 'by words' : 'by ticket',
        claimedBy === null ? '' : shortId(claimedBy),
      ]),
    )
  },
  joinsList({ joins }: { readonly joins: readonly JoinView[] }) {
    if (joins.length === 0) return 'no joins\nNext: nzcore join <ticket>'
    const nowMs = systemClock.nowMs()
    return table(
      ['JOIN', 'PEER', 'ID', 'ROLE', 'STATE', 'WORDS', 'STARTED'],
      joins.map(({ joinId, name, id, role, state, code, words, startedAtMs }) => [
        joinId,
        name,
        shortId(id),
        role,
        code === null ? state : `${state}: ${code}`,
        words.join(' '),
        formatTime(startedAtMs, { nowMs }),
      ]),
    )
  },
  invitesRevoke: ({ invite }: { readonly invite: Invites['invites'][number] }) => `✔ revoked ${invite.inviteId}`,
}

/** `90s`, `10m`, `2h`, `7d` in milliseconds. @throws NZ_CLI_USAGE */
export function durationOf(text: string): number {
  const match = /^(\d{1,6})(s|m|h|d)$/.exec(text)
  const unitMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }[match?.[2] ?? '']
  if (match === null || unitMs === undefined) {
    throw cliErrors.NZ_CLI_USAGE({ why: 'a duration is a number and a unit: 90s, 10m, 2h, 7d' })
  }
  return Number(match[1]) * unitMs
}

async function waitForJoin(context: CliContext, { invite }: InviteAnswer): Promise<void> {
  const { output, signal } = context
  const client = await context.client()
  output.progress('waiting for the other node to join…')
  let seen = ''
  for await (const { join } of client.invitesWatch({ inviteId: invite.inviteId }, { signal })) {
    if (join === null || `${join.joinId} ${join.state}` === seen) continue
    seen = `${join.joinId} ${join.state}`
    output.progress(null)
    if (join.state === 'comparing' && invite.accepts === 'ask') {
      output.say(`✔ ${escapeText(join.name)} joined${pathText(join)}`)
      // Its end, whatever it is, is told by this same watch.
      await decide(context, join)
    } else if (join.state === 'joined') {
      output.answer('nz.join/1', { join }, () => joinedText(join))
      return
    } else if (join.state === 'failed') {
      output.say(`! ${escapeText(join.name)} did not become a contact (${join.code ?? ''})`)
    }
    output.progress('waiting for the other side…')
  }
}

/** Asks, unless the ticket suffices, and follows the join to its end. @throws why it failed */
async function finish(context: CliContext, join: JoinView, accepts: 'ask' | 'automatically'): Promise<JoinView> {
  const client = await context.client()
  if (accepts === 'ask') await decide(context, join)
  context.output.progress(`waiting for ${join.name}…`)
  let last = join
  for await (const change of client.joinsWatch({ joinId: join.joinId }, { signal: context.signal })) last = change.join
  context.output.progress(null)
  return last
}

/** Shows the words and hands in the answer; an interrupt is a no. */
async function decide(context: CliContext, { joinId, words }: JoinView): Promise<void> {
  const client = await context.client()
  try {
    const accepted = await context.prompt.confirm(
      `Compare words on both screens: ${words.join(' ')}\nThe same on both? Accept?`,
      { default: false },
    )
    await client.joinsDecide({ joinId, accepts: accepted }, { signal: context.signal })
  } catch (error) {
    // It ended while the question stood: following it tells how.
    if (isNzError(error, 'NZ_JOIN_UNKNOWN')) return
    if (context.signal.aborted) {
      const limit = AbortSignal.timeout(DECLINE_TIMEOUT_MS)
      await client.joinsDecide({ joinId, accepts: false }, { signal: limit }).catch(() => undefined)
    }
    throw error
  }
}

async function readTicket({ stdin }: CliContext): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of stdin) {
    length += chunk.length
    if (length > MAX_TICKET_INPUT_BYTES)
      throw cliErrors.NZ_CLI_USAGE({ why: 'standard input is too long for a ticket' })
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** Upper case takes the dense alphanumeric mode; readers of tickets take either case. */
async function qrOf(ticket: string, { output }: CliContext): Promise<string> {
  const { encodeQR } = await import('qr')
  const picture = encodeQR(ticket.toUpperCase(), 'ascii', { ecc: 'low', encoding: 'alphanumeric', border: 2 })
  const width = Math.max(...picture.split('\n').map(displayWidth))
  return width > output.columns ? `\n! the terminal is too narrow for the QR code (${width} columns)` : `\n${picture}`
}

function inviteText({ invite, ticket }: InviteAnswer): string {
  const until = formatTime(invite.expiresAtMs, { nowMs: systemClock.nowMs() })
  const how = invite.accepts === 'ask' ? 'single use' : 'single use, accepted without comparing words'
  return `${ticket}\n(${how}, until ${until}; revoke: nzcore invite revoke ${invite.inviteId})`
}

function joinedText({ contactName, id }: JoinView): string {
  return `✔ ${escapeText(contactName ?? '')} is a contact now  ${id}`
}

function pathText({ address, rttMs }: JoinView): string {
  if (address === null) return ''
  // The address of a route is the peer alone.
  const place = address.replace(/\/p2p\/.*$/, '')
  return ` · ${place === '' ? 'by a route' : place}${rttMs === null ? '' : ` ${formatDuration(rttMs)}`}`
}
