/** One neighbour: the keys of the link to it, how well it is heard, and what a hop over it costs (NZ-ROUTING-01 §2, §3). */
import { x25519KeyPairFromSeed } from '../noise/x25519.ts'
import { isNzError } from '../../kernel/index.ts'
import { CounterWindow } from './counter-window.ts'
import { HELLO_WINDOW, MAX_METRIC } from './limits.ts'
import { decodeOpen, encodeOpen, isConfirmed, linkKeys, messageTypes, seal, unseal } from './link-message.ts'
import { Repeats } from './repeats.ts'
import { hexOf, KEY_BYTES } from './signing.ts'
import type { Random } from '../../kernel/index.ts'
import type { X25519KeyPair } from '../noise/x25519.ts'
import type { Hello } from './announcement.ts'
import type { LinkKeys, MessageType, Unsealed } from './link-message.ts'
import type { Key, Sign, Verify } from './signing.ts'

/** Cost of a hop that loses nothing and takes no time. */
export const PERFECT_COST = 256
const MAX_DELAY_COST = 10_000
/** Weight of the newest sample of the round trip. */
const RTT_GAIN = 1 / 8
const NOTHING = new Uint8Array(0)

export interface LinkInit {
  readonly self: Key
  readonly neighbour: Key
  readonly random: Pick<Random, 'bytes'>
  readonly sign: Sign
  readonly verify: Verify
}

interface Session {
  readonly own: X25519KeyPair
  readonly theirs: Uint8Array
  readonly keys: LinkKeys
  /** Packets are counted apart: many of them must not push what is sent again out of the window. */
  readonly packets: Counters
  readonly others: Counters
  readonly repeats: Repeats
}

interface Counters {
  sent: number
  readonly taken: CounterWindow
}

export interface LinkState {
  /** Messages to send now. */
  readonly replies: readonly Uint8Array[]
  /** A link with new keys is open from here on: nothing that came before belongs to it. */
  readonly isNew: boolean
}

export class Link {
  readonly neighbour: Key
  readonly #init: LinkInit
  /** Of the offer that is not answered yet; each is used for one link. */
  #offered: X25519KeyPair | null = null
  #heard: Uint8Array = NOTHING
  #session: Session | null = null
  #helloSequence = 0
  /** Which of the last hellos came, the latest in the lowest bit. */
  #history = 0
  #expected = 0
  #latestHello: (Hello & { readonly atMs: number }) | null = null
  #roundTripMs: number | null = null

  constructor(init: LinkInit) {
    this.#init = init
    this.neighbour = init.neighbour
  }

  get isOpen(): boolean {
    return this.#session !== null
  }

  get roundTripMs(): number | null {
    return this.#roundTripMs
  }

  /** When it was heard of last. */
  get heardAtMs(): number | null {
    return this.#latestHello?.atMs ?? null
  }

  /** Share of hellos that came, here and there. */
  get delivery(): { readonly in: number; readonly out: number } | null {
    if (this.#latestHello === null || this.#latestHello.expected === 0) return null
    const { heard, expected } = this.#latestHello
    return { in: countBits(this.#history) / this.#expected, out: heard / expected }
  }

  /** What a hop to the neighbour adds to a metric; `null` while it is not known to hear us. */
  get cost(): number | null {
    const delivery = this.delivery
    if (this.#session === null || delivery === null || delivery.out === 0) return null
    const delay = Math.min(Math.round(this.#roundTripMs ?? 0), MAX_DELAY_COST)
    return Math.min(Math.round(PERFECT_COST / (delivery.in * delivery.out)) + delay, MAX_METRIC)
  }

  /** Whether the neighbour is known to have the keys of this link: only then it is worth more than an offer. */
  get isHeard(): boolean {
    return this.#session !== null && this.#latestHello !== null
  }

  /** An offer of a link, until the neighbour is heard on it. */
  offer(): Uint8Array {
    if (this.#session !== null) return this.#openOf(this.#session)
    this.#offered ??= this.#freshPair()
    return this.#open(this.#offered, this.#heard)
  }

  /** `null` for anything that is no offer by the neighbour to this node. */
  receiveOpen(message: Uint8Array): LinkState | null {
    const { self, neighbour, verify } = this.#init
    const open = decodeOpen(message, verify)
    if (open === null || open.from !== neighbour || open.to !== self) return null
    const session = this.#session
    if (session !== null && isSame(open.ephemeral, session.theirs)) {
      const replies = open.heard.length === 0 ? [this.#openOf(session)] : []
      return { replies, isNew: false }
    }
    this.#heard = open.ephemeral
    this.#offered ??= this.#freshPair()
    const own = this.#offered
    if (!isSame(open.heard, own.publicKey)) return { replies: [this.#open(own, open.ephemeral)], isNew: false }
    const keys = this.#agree(own, open.ephemeral)
    if (keys === null) return null
    this.#session = {
      own,
      theirs: open.ephemeral,
      keys,
      packets: { sent: 0, taken: new CounterWindow() },
      others: { sent: 0, taken: new CounterWindow() },
      repeats: new Repeats(),
    }
    this.#offered = null
    this.#forgetHellos()
    return { replies: [this.#openOf(this.#session)], isNew: true }
  }

  /**
   * A message to send now; one that the neighbour has to confirm comes again by `repeats` until it has.
   *
   * @throws TypeError while the link is not open
   */
  seal(type: MessageType, ...parts: readonly Uint8Array[]): Uint8Array {
    if (this.#session === null) throw new TypeError('the link is not open')
    const { keys, repeats } = this.#session
    const counters = countersOf(this.#session, type)
    counters.sent += 1
    const message = seal(keys.send, type, counters.sent, ...parts)
    if (isConfirmed(type)) repeats.keep(counters.sent, message)
    return message
  }

  /** `null` for what the neighbour has not sent on this link. */
  unseal(message: Uint8Array): (Unsealed & { readonly isNew: boolean }) | null {
    const session = this.#session
    const unsealed = session === null ? null : unseal(session.keys.receive, message)
    if (session === null || unsealed === null) return null
    return { ...unsealed, isNew: countersOf(session, unsealed.type).taken.take(unsealed.counter) }
  }

  confirmed(counter: number): void {
    this.#session?.repeats.confirm(counter)
  }

  /** Messages to send again now. */
  repeats(nowMs: number): readonly Uint8Array[] {
    return this.#session?.repeats.due(nowMs, this.#roundTripMs ?? 0) ?? []
  }

  nextHello(nowMs: number): Hello {
    const latest = this.#latestHello
    this.#helloSequence += 1
    return {
      sequence: this.#helloSequence,
      stampMs: Math.floor(nowMs),
      heard: countBits(this.#history),
      expected: this.#expected,
      echo: latest === null ? null : { stampMs: latest.stampMs, heldMs: Math.max(0, Math.round(nowMs - latest.atMs)) },
    }
  }

  hear(hello: Hello, nowMs: number): void {
    const gap = this.#latestHello === null ? 1 : hello.sequence - this.#latestHello.sequence
    if (gap <= 0) {
      // One that was overtaken: it was sent, and counts as that even when it is older than the first that came.
      if (gap <= -HELLO_WINDOW) return
      this.#history |= 1 << -gap
      this.#expected = Math.max(this.#expected, 1 - gap)
      return
    }
    this.#history = gap >= HELLO_WINDOW ? 1 : ((this.#history << gap) | 1) & (2 ** HELLO_WINDOW - 1)
    this.#expected = Math.min(this.#expected + gap, HELLO_WINDOW)
    this.#latestHello = { ...hello, atMs: nowMs }
    if (hello.echo !== null) this.#measure(nowMs - hello.echo.stampMs - hello.echo.heldMs)
  }

  #measure(sampleMs: number): void {
    const sample = Math.max(0, sampleMs)
    this.#roundTripMs =
      this.#roundTripMs === null ? sample : this.#roundTripMs + RTT_GAIN * (sample - this.#roundTripMs)
  }

  #forgetHellos(): void {
    this.#history = 0
    this.#expected = 0
    this.#latestHello = null
    this.#roundTripMs = null
  }

  /** The offer that the link was opened by, whatever was offered since: its key is of no other link. */
  #openOf({ own, theirs }: Session): Uint8Array {
    return this.#open(own, theirs)
  }

  #open(own: X25519KeyPair, heard: Uint8Array): Uint8Array {
    const { self, neighbour, sign } = this.#init
    return encodeOpen({ from: self, to: neighbour, ephemeral: own.publicKey, heard }, sign)
  }

  #freshPair(): X25519KeyPair {
    const seed = this.#init.random.bytes(KEY_BYTES)
    try {
      return x25519KeyPairFromSeed(seed)
    } finally {
      seed.fill(0)
    }
  }

  #agree(own: X25519KeyPair, theirs: Uint8Array): LinkKeys | null {
    const { self, neighbour } = this.#init
    try {
      return linkKeys(
        { key: self, ephemeral: own.publicKey, privateKey: own.privateKey },
        { key: neighbour, ephemeral: theirs },
      )
    } catch (error) {
      if (isNzError(error, 'NZ_NOISE_KEY_REFUSED')) return null
      throw error
    }
  }
}

function countersOf({ packets, others }: Session, type: MessageType): Counters {
  return type === messageTypes.packet ? packets : others
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return hexOf(a) === hexOf(b)
}

function countBits(value: number): number {
  let count = 0
  for (let rest = value; rest !== 0; rest &= rest - 1) count += 1
  return count
}
