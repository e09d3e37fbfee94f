/**
 * Who may come in: the rules for incoming connections before they are worth anything. Sans-I/O.
 *
 * A connection is `silent` until its first byte, `greeting` until it has proven its peer id, then `open`. Silent ones
 * cost a descriptor and are evicted oldest first; only greeting ones cost a handshake, and only they take a token of
 * their address. A flood of silent connections therefore keeps nobody out, not even from the same address.
 */
import { isLoopback, networkOf, plainIp, sourceOf } from './address.ts'
import { TokenBuckets } from './token-buckets.ts'

export interface AcceptLimits {
  /** Incoming and outgoing together. */
  readonly maxConnections: number
  /** Open incoming connections of one IP address, or of one /64 of IPv6. */
  readonly maxConnectionsPerAddress: number
  /** Silent connections of one network (/24 or /64), and of all. */
  readonly maxSilentPerNetwork: number
  readonly maxSilent: number
  /** Handshakes under way of one network, and of all. */
  readonly maxGreetingPerNetwork: number
  readonly maxGreeting: number
  /** Handshakes an address, or a /64 of IPv6, may begin. */
  readonly handshakesPerSecondPerAddress: number
  /** The same for 127.0.0.0/8 and ::1: whoever comes from there is a user of this machine. */
  readonly handshakesPerSecondFromLoopback: number
}

export type Refusal = 'blocked' | 'full' | 'address-full' | 'handshake-rate' | 'stopping'

interface Guest {
  readonly ip: string
  /** Who it is taken for by the limits of one address. */
  readonly source: string
  readonly network: string
  readonly evict: () => void
  state: 'silent' | 'greeting' | 'open'
}

/** One connection at the gate. */
export interface GatePass {
  /** The first byte came. `null`: go on with the handshake; else close it. */
  greet(): Refusal | null
  /** The peer has proven who it is. */
  open(): void
  /** The connection is closed. Idempotent. */
  leave(): void
}

/** Addresses whose handshake rate is remembered. */
const MAX_RATED_ADDRESSES = 16_384

export class AcceptGate {
  readonly #limits: AcceptLimits
  readonly #isBlocked: (ip: string) => boolean
  readonly #monotonicMs: () => number
  readonly #buckets: TokenBuckets
  readonly #loopbackBuckets: TokenBuckets
  /** Oldest first. */
  readonly #guests = { silent: new Set<Guest>(), greeting: new Set<Guest>(), open: new Set<Guest>() }
  readonly #counts = new Map<string, number>()
  readonly #refused: Record<string, number> = {}
  #evicted = 0
  #openOutgoing = 0

  constructor(
    limits: AcceptLimits,
    services: { readonly isBlocked: (ip: string) => boolean; readonly monotonicMs: () => number },
  ) {
    this.#limits = limits
    this.#isBlocked = services.isBlocked
    this.#monotonicMs = services.monotonicMs
    const bucketsOf = (perSecond: number): TokenBuckets =>
      new TokenBuckets({ perSecond, burst: perSecond, maxKeys: MAX_RATED_ADDRESSES })
    this.#buckets = bucketsOf(limits.handshakesPerSecondPerAddress)
    this.#loopbackBuckets = bucketsOf(limits.handshakesPerSecondFromLoopback)
  }

  /** Refusals by reason, since the start. */
  get refused(): Readonly<Record<string, number>> {
    return { ...this.#refused }
  }

  /** Silent and greeting connections that had to leave for newer ones. */
  get evicted(): number {
    return this.#evicted
  }

  get pending(): { readonly silent: number; readonly greeting: number } {
    return { silent: this.#guests.silent.size, greeting: this.#guests.greeting.size }
  }

  /** For connections this node opened, which count towards `maxConnections`. */
  changeOutgoing(by: 1 | -1): void {
    this.#openOutgoing += by
  }

  /** A connection was accepted from `address`; `evict` closes it at once. */
  arrive(address: string, evict: () => void): GatePass | Refusal {
    const ip = plainIp(address)
    const guest: Guest = { ip, source: sourceOf(ip), network: networkOf(ip), evict, state: 'silent' }
    const refusal = this.#refusalOf(guest)
    if (refusal !== null) return this.refuse(refusal)
    const { maxSilentPerNetwork, maxSilent } = this.#limits
    this.#makeRoom('silent', guest.network, maxSilentPerNetwork, maxSilent)
    this.#add(guest)
    return {
      greet: () => this.#greet(guest),
      open: () => this.#move(guest, 'open'),
      leave: () => this.#remove(guest),
    }
  }

  /** Counts a refusal that was decided elsewhere. */
  refuse<R extends string>(reason: R): R {
    this.#refused[reason] = (this.#refused[reason] ?? 0) + 1
    return reason
  }

  #greet(guest: Guest): Refusal | null {
    const buckets = isLoopback(guest.ip) ? this.#loopbackBuckets : this.#buckets
    const refusal = this.#refusalOf(guest)
    if (refusal !== null) return this.refuse(refusal)
    if (!buckets.take(guest.source, this.#monotonicMs())) return this.refuse('handshake-rate')
    const { maxGreetingPerNetwork, maxGreeting } = this.#limits
    this.#makeRoom('greeting', guest.network, maxGreetingPerNetwork, maxGreeting)
    this.#move(guest, 'greeting')
    return null
  }

  #refusalOf({ ip, source }: Guest): Refusal | null {
    if (this.#isBlocked(ip)) return 'blocked'
    if (this.#guests.open.size + this.#openOutgoing >= this.#limits.maxConnections) return 'full'
    return this.#count('open', `from ${source}`) >= this.#limits.maxConnectionsPerAddress ? 'address-full' : null
  }

  /** Evicts the oldest of the network, then the oldest of all, until one more fits. */
  #makeRoom(state: 'silent' | 'greeting', network: string, maxPerNetwork: number, max: number): void {
    if (this.#count(state, network) >= maxPerNetwork) this.#evict(oldestOf(this.#guests[state], network))
    if (this.#guests[state].size >= max) this.#evict(this.#guests[state].values().next().value)
  }

  #evict(guest: Guest | undefined): void {
    if (guest === undefined) return
    this.#evicted += 1
    this.#remove(guest)
    guest.evict()
  }

  #move(guest: Guest, state: Guest['state']): void {
    if (!this.#remove(guest)) return
    guest.state = state
    this.#add(guest)
  }

  #add(guest: Guest): void {
    this.#guests[guest.state].add(guest)
    for (const key of keysOf(guest)) this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
  }

  #remove(guest: Guest): boolean {
    if (!this.#guests[guest.state].delete(guest)) return false
    for (const key of keysOf(guest)) {
      const count = (this.#counts.get(key) ?? 1) - 1
      if (count === 0) this.#counts.delete(key)
      else this.#counts.set(key, count)
    }
    return true
  }

  #count(state: Guest['state'], key: string): number {
    return this.#counts.get(`${state} ${key}`) ?? 0
  }
}

function oldestOf(guests: ReadonlySet<Guest>, network: string): Guest | undefined {
  for (const guest of guests) if (guest.network === network) return guest
  return undefined
}

function keysOf({ state, source, network }: Guest): readonly string[] {
  return [`${state} from ${source}`, `${state} ${network}`]
}
