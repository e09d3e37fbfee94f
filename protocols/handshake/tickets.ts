/**
 * Tickets to resume a session (NZ-HANDSHAKE-01 §7). Both sides derive the same two from a session, one for each side to
 * be initiator with. A ticket is good once, for one peer and purpose, for a limited time, and is never written to disk.
 */
import { expand } from './established.ts'
import { TICKET_ID_BYTES } from './limits.ts'
import type { Established } from './established.ts'

export const TICKET_LIFETIME_MS = 3_600_000
/** Tickets kept in each direction, and of them for one peer; the oldest makes room. */
export const MAX_TICKETS = 1_024
export const MAX_TICKETS_PER_PEER = 4
const KEY_BYTES = 32

export interface Ticket {
  /** TICKET_ID_BYTES; travels in the clear. */
  readonly id: Uint8Array
  readonly preSharedKey: Uint8Array
  readonly peerKey: Uint8Array
  readonly peerStatic: Uint8Array
  readonly purpose: string
  readonly expiresAtMs: number
}

/** Tickets of a node. Times are of one clock that never goes back. */
export class TicketStore {
  /** To be initiator with, oldest first, by id. */
  readonly #own = new Map<string, Ticket>()
  /** That peers may be initiator with, oldest first, by id. */
  readonly #granted = new Map<string, Ticket>()

  /** Tickets kept, in both directions. */
  get size(): number {
    return this.#own.size + this.#granted.size
  }

  /** Keeps both tickets of a session that was just established. */
  keep(established: Established, nowMs: number): void {
    this.prepare(established, nowMs)()
  }

  /**
   * Derives both tickets of a session while its secret is there. What it gives keeps them: call it once the session is
   * open, so that replayed handshakes push no ticket out.
   */
  prepare(established: Established, nowMs: number): () => void {
    const { role } = established
    const own = ticketOf(established, role, nowMs)
    const granted = ticketOf(established, role === 'initiator' ? 'responder' : 'initiator', nowMs)
    return () => {
      this.#add(this.#own, own)
      this.#add(this.#granted, granted)
    }
  }

  /** The newest ticket to call a peer with; it is gone from the store then. */
  take(peerKey: Uint8Array, purpose: string, nowMs: number): Ticket | null {
    this.#forgetExpired(nowMs)
    let found: Ticket | null = null
    for (const ticket of this.#own.values()) {
      if (ticket.purpose === purpose && Buffer.compare(ticket.peerKey, peerKey) === 0) found = ticket
    }
    if (found !== null) this.#own.delete(nameOf(found.id))
    return found
  }

  /** The ticket that a peer calls with; it stays until `redeem`. */
  granted(id: Uint8Array, purpose: string, nowMs: number): Ticket | null {
    this.#forgetExpired(nowMs)
    const ticket = this.#granted.get(nameOf(id))
    return ticket?.purpose === purpose ? ticket : null
  }

  /** Uses a granted ticket up. @returns whether it was there */
  redeem(id: Uint8Array): boolean {
    return this.#granted.delete(nameOf(id))
  }

  /** Forgets all of a peer, as when it was revoked. */
  forget(peerKey: Uint8Array): void {
    for (const side of [this.#own, this.#granted]) {
      for (const [name, ticket] of side) {
        if (Buffer.compare(ticket.peerKey, peerKey) === 0) wipe(side, name, ticket)
      }
    }
  }

  clear(): void {
    for (const side of [this.#own, this.#granted]) for (const [name, ticket] of side) wipe(side, name, ticket)
  }

  #add(side: Map<string, Ticket>, ticket: Ticket): void {
    side.set(nameOf(ticket.id), ticket)
    let ofPeer = 0
    for (const { peerKey } of side.values()) if (Buffer.compare(peerKey, ticket.peerKey) === 0) ofPeer += 1
    for (const [name, old] of side) {
      const isTooMany = ofPeer > MAX_TICKETS_PER_PEER && Buffer.compare(old.peerKey, ticket.peerKey) === 0
      if (!isTooMany && side.size <= MAX_TICKETS) continue
      if (isTooMany) ofPeer -= 1
      wipe(side, name, old)
      break
    }
  }

  #forgetExpired(nowMs: number): void {
    for (const side of [this.#own, this.#granted]) {
      for (const [name, ticket] of side) {
        if (ticket.expiresAtMs > nowMs) break
        wipe(side, name, ticket)
      }
    }
  }
}

/** The ticket of a session by which its `initiatorNext` may call the other side. */
function ticketOf(established: Established, initiatorNext: Established['role'], nowMs: number): Ticket {
  const { secret, session, peerKey, peerStatic, purpose } = established
  const byteLength = TICKET_ID_BYTES + KEY_BYTES
  const bytes = expand(secret, session, `ticket/${initiatorNext}`, { byteLength })
  const ticket = {
    id: bytes.slice(0, TICKET_ID_BYTES),
    preSharedKey: bytes.slice(TICKET_ID_BYTES),
    peerKey,
    peerStatic,
    purpose,
    expiresAtMs: nowMs + TICKET_LIFETIME_MS,
  }
  bytes.fill(0)
  return ticket
}

function nameOf(id: Uint8Array): string {
  return Buffer.from(id).toString('hex')
}

function wipe(side: Map<string, Ticket>, name: string, { preSharedKey }: Ticket): void {
  preSharedKey.fill(0)
  side.delete(name)
}
