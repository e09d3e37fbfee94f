/** One join over one stream: drives the state machine of protocols/invite/join.ts and keeps what people see of it. */
import { deadline, isNzError } from '../../kernel/index.ts'
import { ShortFrames, shortFrame } from '../../protocols/framing/short-frames.ts'
import { inviteErrors } from '../../protocols/invite/errors.ts'
import { decodeJoinMessage, encodeJoinMessage, MAX_JOIN_MESSAGE_BYTES } from '../../protocols/invite/messages.ts'
import type { Clock, Logger, Timer } from '../../kernel/index.ts'
import type { JoinCode } from '../../protocols/invite/errors.ts'
import type { JoinedPeer, JoinEffect, JoinMachine } from '../../protocols/invite/join.ts'
import type { PeerStream } from '../network/service.ts'
import type { Contact, Invite, Join } from './service.ts'

/** How long a last message may take to leave, and the peer to close after it. */
const FAREWELL_TIMEOUT_MS = 5_000

export interface JoinSessionInit {
  readonly machine: JoinMachine
  readonly stream: PeerStream
  readonly clock: Clock
  readonly log: Logger
  readonly join: Join
  /** The joiner's choice; the inviter's stands in the invite. */
  readonly accepts: Invite['accepts']
  /** Inviter: marks the ticket used by this peer; throws an invite error otherwise. */
  readonly claim: (secret: Uint8Array) => Promise<Invite>
  readonly store: (peer: JoinedPeer) => Promise<Contact>
  readonly onChange: (join: Join) => void
}

export class JoinSession {
  readonly #init: JoinSessionInit
  #join: Join
  #accepts: Invite['accepts']
  /** Effects of one input run before those of the next. */
  #work: Promise<void> = Promise.resolve()
  #timer: Timer | null = null
  readonly #over = new AbortController()

  constructor(init: JoinSessionInit) {
    this.#init = init
    this.#join = init.join
    this.#accepts = init.accepts
  }

  get join(): Join {
    return this.#join
  }

  /** Runs until the join is over; never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const { machine, stream } = this.#init
    const reading = AbortSignal.any([signal, this.#over.signal])
    this.#apply(machine.begin())
    this.#arm()
    try {
      await this.#readAll(reading)
    } finally {
      if (signal.aborted) this.#apply(machine.lost())
      await this.#settled()
      this.#timer?.cancel()
      if (signal.aborted) stream.reset()
      else await this.#partIn(stream)
    }
  }

  decide(accepts: boolean): void {
    const { machine, clock } = this.#init
    this.#apply(accepts ? machine.accept('words', clock.monotonicMs()) : machine.decline())
  }

  refuse(code: JoinCode): void {
    this.#apply(this.#init.machine.refuse(code))
  }

  async #readAll(signal: AbortSignal): Promise<void> {
    const { machine, stream, clock, log } = this.#init
    const frames = new ShortFrames({ maxBytes: MAX_JOIN_MESSAGE_BYTES })
    try {
      while (!signal.aborted) {
        const bytes = await stream.read({ signal })
        if (bytes === null) break
        frames.push(bytes)
        for (let next = frames.next(); next.state !== 'incomplete'; next = frames.next()) {
          const message = next.state === 'frame' ? decodeJoinMessage(next.body) : null
          this.#apply(machine.receive(message, clock.monotonicMs()))
          // An effect may change what the next message means: let it finish first.
          await this.#settled()
          if (next.state === 'tooLarge') return
        }
      }
    } catch (error) {
      if (!signal.aborted) log.debug('contacts.joinStreamEnded', { joinId: this.#join.joinId, error })
    }
    if (!signal.aborted) this.#apply(machine.lost())
  }

  /** Effects may bring further effects: waits for all. */
  async #settled(): Promise<void> {
    for (let work: Promise<void> | null = null; work !== this.#work;) {
      work = this.#work
      await work
    }
  }

  #apply(effects: readonly JoinEffect[]): void {
    if (effects.length === 0) return
    this.#work = this.#work.then(async () => {
      try {
        for (const effect of effects) await this.#run(effect)
      } catch (error) {
        this.#init.log.warn('contacts.joinFailed', { joinId: this.#join.joinId, error })
        this.#end(isNzError(error) ? error.code : 'NZ_JOIN_LOST')
      }
      this.#arm()
    })
  }

  async #run(effect: JoinEffect): Promise<void> {
    const { machine, clock, store } = this.#init
    switch (effect.kind) {
      case 'send':
        await this.#send(effect.message)
        return
      case 'claim':
        await this.#claim(effect.secret)
        return
      case 'words':
        this.#change({ state: 'comparing', words: effect.words, name: machine.peerName })
        if (this.#accepts === 'automatically') this.#apply(machine.accept('invite', clock.monotonicMs()))
        return
      case 'store': {
        const contact = await store(effect.contact)
        this.#change({ state: 'joined', contactName: contact.name })
        this.#over.abort()
        return
      }
      case 'end':
        this.#end(effect.code)
    }
  }

  async #claim(secret: Uint8Array): Promise<void> {
    const { machine, clock, claim } = this.#init
    try {
      const { inviteId, accepts } = await claim(secret)
      this.#accepts = accepts
      this.#change({ inviteId, name: machine.peerName })
      this.#apply(machine.claimed(clock.monotonicMs()))
    } catch (error) {
      const isRefusal = isNzError(error) && Object.hasOwn(inviteErrors, error.code)
      if (!isRefusal) this.#init.log.error('contacts.claimFailed', { joinId: this.#join.joinId, error })
      this.#apply(machine.refuse(isRefusal ? (error.code as JoinCode) : 'NZ_JOIN_BUSY'))
    }
  }

  async #send(message: Parameters<typeof encodeJoinMessage>[0]): Promise<void> {
    const { stream, clock, log } = this.#init
    using limit = deadline(clock, FAREWELL_TIMEOUT_MS)
    if (message.type === 'accept' && this.#join.state === 'comparing') this.#change({ state: 'waiting' })
    try {
      await stream.write(shortFrame(encodeJoinMessage(message)), { signal: limit.signal })
    } catch (error) {
      // The reader sees the same end of the stream and ends the join.
      log.debug('contacts.joinSendFailed', { joinId: this.#join.joinId, type: message.type, error })
    }
  }

  #end(code: string): void {
    this.#change({ state: 'failed', code })
    this.#over.abort()
  }

  #change(change: Partial<Join>): void {
    this.#join = { ...this.#join, ...change }
    this.#init.onChange(this.#join)
  }

  #arm(): void {
    const { machine, clock } = this.#init
    this.#timer?.cancel()
    if (machine.phase === 'over') return
    const delayMs = Math.max(0, machine.deadlineMs - clock.monotonicMs())
    this.#timer = clock.setTimer(delayMs, () => this.#apply(machine.tick(clock.monotonicMs())), { unref: true })
  }

  /** Lets the last message reach the peer: closes this side and waits, shortly, for the peer's end. */
  async #partIn(stream: PeerStream): Promise<void> {
    using limit = deadline(this.#init.clock, FAREWELL_TIMEOUT_MS)
    try {
      await stream.closeWrite({ signal: limit.signal })
      while ((await stream.read({ signal: limit.signal })) !== null) continue
      await stream.close({ signal: limit.signal })
    } catch {
      // Cut already, or the peer does not close: nothing more is owed to it.
      stream.reset()
    }
  }
}
