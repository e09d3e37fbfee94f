/** Joins under way on both sides: served from incoming streams, begun with a ticket, decided by people. */
import { deadline, NzError, knownErrors } from '../../kernel/index.ts'
import { inviteErrors } from '../../protocols/invite/errors.ts'
import { JoinMachine } from '../../protocols/invite/join.ts'
import { JOIN_PROTOCOL, NONCE_BYTES } from '../../protocols/invite/messages.ts'
import { peerIdOf, publicKeyOfPeerId, idOf } from '../../protocols/identity/id.ts'
import { CLOCK_SKEW_MS, openTicket } from '../../protocols/invite/ticket.ts'
import type { EventBus, Clock, Logger, Random } from '../../kernel/index.ts'
import type { JoinedPeer } from '../../protocols/invite/join.ts'
import type { SignedTicket } from '../../protocols/invite/ticket.ts'
import type { IdentityService } from '../identity/service.ts'
import type { NetworkService, PeerStream } from '../network/service.ts'
import type { ChangeSignal } from './change-signal.ts'
import type { InviteList } from './invite-list.ts'
import { JoinAttempts } from './join-attempts.ts'
import { JoinSession } from './join-session.ts'
import { contactsEvents } from './service.ts'
import type { Contact, Invite, Join } from './service.ts'

/** Joins under way at once, of both roles. */
export const MAX_PENDING_JOINS = 16
/** Ended joins that can still be asked for. */
export const MAX_ENDED_JOINS = 32
const DIAL_TIMEOUT_MS = 30_000

export interface JoinsServices {
  readonly identity: IdentityService
  readonly network: NetworkService
  readonly invites: InviteList
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly events: EventBus
  readonly changed: ChangeSignal
  /** Ends every join when the module stops. */
  readonly signal: AbortSignal
  /** Writes the contact down and keeps it connected. */
  readonly addContact: (peerId: string, peer: JoinedPeer, options: { readonly name?: string }) => Promise<Contact>
}

export interface JoinsOptions {
  /** What this node proposes to be called. */
  readonly name: string
}

export class Joins {
  readonly #services: JoinsServices
  readonly #options: JoinsOptions
  readonly #attempts: JoinAttempts
  /** By join id, oldest first; bounded by the two limits above. */
  readonly #sessions = new Map<string, JoinSession>()

  constructor(services: JoinsServices, options: JoinsOptions) {
    this.#services = services
    this.#options = options
    this.#attempts = new JoinAttempts(services.clock)
  }

  list(): readonly Join[] {
    return [...this.#sessions.values()].map(({ join }) => join).toReversed()
  }

  /** @throws NZ_JOIN_UNKNOWN */
  get(joinId: string): Join {
    return this.#session(joinId).join
  }

  /** The latest join that used the invite. */
  ofInvite(inviteId: string): Join | null {
    return this.list().find((join) => join.inviteId === inviteId) ?? null
  }

  /** @throws NZ_JOIN_UNKNOWN when there is none to decide on */
  decide(joinId: string, accepts: boolean): Join {
    const session = this.#session(joinId)
    const { state } = session.join
    if (isOver(session.join)) throw inviteErrors.NZ_JOIN_UNKNOWN({ why: 'it is over', data: { joinId } })
    if (accepts && state === 'connecting') throw inviteErrors.NZ_JOIN_UNKNOWN({ why: 'there are no words yet' })
    session.decide(accepts)
    return session.join
  }

  /** Ends the joins that use an invite. */
  revoke(inviteId: string): void {
    for (const session of this.#sessions.values()) {
      if (session.join.inviteId === inviteId && !isOver(session.join)) session.refuse('NZ_INVITE_REVOKED')
    }
  }

  /** Serves one incoming stream of the join protocol, as the inviter. */
  async serve(stream: PeerStream): Promise<void> {
    const { identity, invites, random, clock } = this.#services
    const peerKey = publicKeyOfPeerId(stream.peerId)
    if (peerKey === null) {
      stream.reset()
      return
    }
    const machine = new JoinMachine({
      role: 'inviter',
      selfKey: identity.self.nodePublicKey,
      peerKey,
      nonce: random.bytes(NONCE_BYTES),
      nowMs: clock.monotonicMs(),
    })
    const session = this.#open(stream, machine, 'inviter', {
      accepts: 'ask',
      claim: async (secret) => {
        if (this.#attempts.isBlocked(stream.peerId)) throw inviteErrors.NZ_INVITE_ATTEMPTS()
        try {
          return await invites.claim(secret, stream.peerId)
        } catch (error) {
          this.#attempts.failed(stream.peerId)
          throw error
        }
      },
    })
    this.#makeRoom(session)
    await session.run(this.#services.signal)
    if (isOfStranger(session.join)) this.#sessions.delete(session.join.joinId)
    await this.#finishInvite(session.join)
  }

  /** Uses a ticket, as the joiner. Resolves when there are words to compare or all is done. */
  async start(
    text: string,
    { accepts, name, signal }: { accepts: Invite['accepts']; name?: string; signal: AbortSignal },
  ): Promise<Join> {
    const { identity, network, clock, random, changed } = this.#services
    const ticket = openTicket(text, (...signed) => identity.verify(...signed))
    this.#check(ticket)
    const peerId = peerIdOf(ticket.inviter)
    const addresses = ticket.addresses.map((address) => `${address}/p2p/${peerId}`)
    using limit = deadline(clock, DIAL_TIMEOUT_MS, { signal, reason: () => inviteErrors.NZ_JOIN_TIMEOUT() })
    await network.connect(peerId, { addresses, signal: limit.signal })
    const stream = await network.openStream(peerId, JOIN_PROTOCOL, { signal: limit.signal })
    const machine = new JoinMachine({
      role: 'joiner',
      selfKey: identity.self.nodePublicKey,
      peerKey: ticket.inviter,
      nonce: random.bytes(NONCE_BYTES),
      nowMs: clock.monotonicMs(),
      secret: ticket.secret,
      self: { name: this.#options.name, addresses: network.addresses() },
      inviter: { name: ticket.name, addresses },
    })
    const claim = () => Promise.reject<Invite>(inviteErrors.NZ_JOIN_PROTOCOL())
    const session = this.#open(stream, machine, 'joiner', { accepts, claim, ...(name === undefined ? {} : { name }) })
    void session.run(this.#services.signal)
    while (session.join.state === 'connecting' && !signal.aborted) await changed.next(signal)
    if (signal.aborted) session.decide(false)
    signal.throwIfAborted()
    if (session.join.code !== null) throw errorOf(session.join.code, session.join)
    return session.join
  }

  #check(ticket: SignedTicket): void {
    const { identity, clock } = this.#services
    if (Buffer.compare(ticket.inviter, identity.self.nodePublicKey) === 0) throw inviteErrors.NZ_INVITE_SELF()
    if (clock.nowMs() > ticket.expiresAtMs + CLOCK_SKEW_MS) {
      throw inviteErrors.NZ_INVITE_EXPIRED({ data: { expiresAtMs: ticket.expiresAtMs, nowMs: clock.nowMs() } })
    }
    // Strangers that only hold a stream open do not keep this node's own joins out.
    const proven = this.#pending().filter((session) => !isUnproven(session))
    if (proven.length >= MAX_PENDING_JOINS) throw inviteErrors.NZ_JOIN_BUSY()
  }

  #open(
    stream: PeerStream,
    machine: JoinMachine,
    role: Join['role'],
    options: Pick<ConstructorParameters<typeof JoinSession>[0], 'accepts' | 'claim'> & { readonly name?: string },
  ): JoinSession {
    const { clock, log, random, addContact } = this.#services
    const { peerId } = stream
    const joinId = `join_${Buffer.from(random.bytes(8)).toString('hex')}`
    const key = publicKeyOfPeerId(peerId)
    const session = new JoinSession({
      machine,
      stream,
      clock,
      log,
      accepts: options.accepts,
      claim: options.claim,
      store: async (peer) => await addContact(peerId, peer, options.name === undefined ? {} : { name: options.name }),
      onChange: (join) => this.#tell(join),
      join: {
        joinId,
        role,
        inviteId: null,
        peerId,
        id: key === null ? '' : idOf(key),
        name: machine.peerName,
        state: 'connecting',
        words: [],
        contactName: null,
        code: null,
        startedAtMs: clock.nowMs(),
      },
    })
    this.#sessions.set(joinId, session)
    const ended = [...this.#sessions].filter(([, { join }]) => isOver(join))
    for (const [old] of ended.slice(0, Math.max(0, ended.length - MAX_ENDED_JOINS))) this.#sessions.delete(old)
    return session
  }

  #tell(join: Join): void {
    const { joinId, peerId, name, state, code } = join
    const { events, changed } = this.#services
    if (isOfStranger(join)) return
    if (state === 'comparing') events.emit(contactsEvents.joinWaiting, { joinId, peerId, name })
    if (state === 'failed' && code !== null) events.emit(contactsEvents.joinFailed, { joinId, peerId, code })
    changed.raise()
  }

  async #finishInvite({ inviteId, state, code }: Join): Promise<void> {
    const { invites, changed, log } = this.#services
    const isDecided = code === 'NZ_JOIN_DECLINED' || code === 'NZ_JOIN_CANCELLED'
    if (inviteId === null || (state !== 'joined' && !isDecided)) return
    try {
      await invites.finish(inviteId, state === 'joined' ? 'joined' : 'declined')
    } catch (error) {
      log.error('contacts.inviteNotWritten', { inviteId, error })
    }
    changed.raise()
  }

  /** One join of each peer. Beyond the limit whoever has shown no good ticket for longest goes first. */
  #makeRoom(mine: JoinSession): void {
    const pending = this.#pending()
    const isTwice = pending.some((session) => session !== mine && session.join.peerId === mine.join.peerId)
    const surplus = pending.length > MAX_PENDING_JOINS ? pending.find(isUnproven) : undefined
    if (isTwice) mine.refuse('NZ_JOIN_BUSY')
    else surplus?.refuse('NZ_JOIN_BUSY')
  }

  #pending(): readonly JoinSession[] {
    return [...this.#sessions.values()].filter(({ join }) => !isOver(join))
  }

  #session(joinId: string): JoinSession {
    const session = this.#sessions.get(joinId)
    if (session === undefined) throw inviteErrors.NZ_JOIN_UNKNOWN({ data: { joinId: joinId.slice(0, 80) } })
    return session
  }
}

/** An incoming join whose ticket has not been found good (yet). */
function isUnproven({ join }: JoinSession): boolean {
  return join.role === 'inviter' && join.inviteId === null
}

const TICKET_CODES: ReadonlySet<string | null> = new Set(['NZ_INVITE_EXPIRED', 'NZ_INVITE_USED', 'NZ_INVITE_REVOKED'])

/**
 * A join that failed without any ticket of this node, not even one that is over. Anybody can begin as many as they like:
 * they are not kept and make no events, or they would push everything else out of the history.
 */
function isOfStranger({ role, inviteId, state, code }: Join): boolean {
  return role === 'inviter' && inviteId === null && state === 'failed' && !TICKET_CODES.has(code)
}

export function isOver({ state }: Join): boolean {
  return state === 'joined' || state === 'failed'
}

/** The error of a code that ended a join. */
export function errorOf(code: string, { joinId, peerId }: Join): NzError {
  const spec = knownErrors.get(code)
  const data = { joinId, peerId }
  return spec === undefined ? inviteErrors.NZ_JOIN_PROTOCOL({ why: code, data }) : new NzError(code, spec, { data })
}
