/** Messages over an open endpoint on a stream: sealed as far as the stream has room, opened as they come. */
import { deadline } from '../../kernel/index.ts'
import { MAX_PAYLOAD_BYTES } from '../../protocols/channel/limits.ts'
import { codecOf } from '../../protocols/wire/compression.ts'
import { splitFrames } from '../../protocols/wire/frame-reader.ts'
import { MAX_MESSAGE_BYTES } from '../../protocols/wire/limits.ts'
import { Messages } from '../../protocols/wire/messages.ts'
import { count } from './ledger.ts'
import { refusalOf } from './opening.ts'
import { channelErrors, wireErrors } from './service.ts'
import { orAborted, Waiters } from './waiters.ts'
import type { Clock, Timer } from '../../kernel/index.ts'
import type { EndpointStep, Session } from '../../protocols/channel/endpoint.ts'
import type { Entry } from './ledger.ts'
import type { MessageChannel } from './service.ts'
import type { StreamCarrier } from './stream-carrier.ts'

/** How long what is under way may take when the channel is closed. */
const CLOSE_TIMEOUT_MS = 5_000

export interface MessageChannelInit {
  readonly carrier: StreamCarrier
  readonly entry: Entry
  readonly session: Session
  readonly clock: Clock
  readonly onEnd: () => void
}

export class StreamMessageChannel implements MessageChannel {
  readonly #init: MessageChannelInit
  readonly #messages: Messages
  readonly #ended = new AbortController()
  /** Whole messages that nobody asked for yet; bounded by the messages that may be open. */
  readonly #inbox: { readonly id: number; readonly payload: Uint8Array }[] = []
  readonly #arrivals = new Waiters()
  readonly #room = new Waiters()
  readonly #sent = new Map<number, PromiseWithResolvers<void>>()
  #pumping: Promise<void> | null = null
  /** A frame that did not fit in the last packet. */
  #left: Uint8Array | null = null
  #isClosedByPeer = false
  #timer: Timer | null = null

  constructor(init: MessageChannelInit) {
    this.#init = init
    this.#messages = new Messages({ codec: codecOf(init.session.features) })
  }

  get peerId(): string {
    return this.#init.entry.peerId
  }

  get purpose(): string {
    return this.#init.session.purpose
  }

  get features(): readonly string[] {
    return this.#init.session.features
  }

  get signal(): AbortSignal {
    return this.#ended.signal
  }

  /** Reads until the channel ends; call it once. `first`: what came with the packet that opened it. */
  async run(first: EndpointStep): Promise<void> {
    const { carrier, entry, clock } = this.#init
    const { signal } = this
    try {
      await this.#take(first)
      for (;;) {
        const frame = await carrier.readFrame({ signal })
        if (frame === null) return
        const step = entry.endpoint.receive(frame, clock.monotonicMs())
        if (step.refused !== undefined) {
          count(entry, step.refused)
          throw refusalOf(step.refused)
        }
        await this.#take(step)
        if (step.isClosed === true) {
          this.#isClosedByPeer = true
          return
        }
      }
    } finally {
      this.#end()
    }
  }

  async send(
    message: Uint8Array,
    { signal, isCompressed = false }: { readonly signal: AbortSignal; readonly isCompressed?: boolean },
  ): Promise<void> {
    if (message.byteLength > MAX_MESSAGE_BYTES)
      throw channelErrors.NZ_CHANNEL_TOO_LARGE({ why: 'a message has at most 64 MiB' })
    const { sender } = this.#messages
    while (!sender.hasRoom || this.signal.aborted) {
      this.#expectOpen()
      await orAborted(this.#room.wait(), signal)
    }
    const id = sender.add(message, { isCompressed })
    const taken = Promise.withResolvers<void>()
    this.#sent.set(id, taken)
    this.#pump()
    try {
      await orAborted(taken.promise, signal)
    } catch (error) {
      if (signal.aborted) {
        sender.cancel(id)
        this.#sent.delete(id)
        this.#pump()
      }
      throw error
    }
  }

  async receive({ signal }: { readonly signal: AbortSignal }): Promise<Uint8Array | null> {
    for (;;) {
      signal.throwIfAborted()
      const message = this.#inbox.shift()
      if (message !== undefined) {
        if (!this.signal.aborted) {
          this.#messages.receiver.taken(message.id)
          this.#pump()
        }
        return message.payload
      }
      if (this.#isClosedByPeer) return null
      this.#expectOpen()
      await orAborted(this.#arrivals.wait(), signal)
    }
  }

  async close(): Promise<void> {
    if (this.signal.aborted) return
    const { carrier, entry, clock } = this.#init
    using limit = deadline(clock, CLOSE_TIMEOUT_MS, { signal: this.signal })
    const { signal } = limit
    try {
      if (this.#pumping !== null) await orAborted(this.#pumping, signal)
      await carrier.write(entry.endpoint.close(), { signal })
      await carrier.stream.closeWrite({ signal })
    } catch {
      // The stream is gone, and the peer has noticed.
    } finally {
      this.#end()
    }
  }

  async #take({ send, payload }: EndpointStep): Promise<void> {
    const { carrier, entry } = this.#init
    entry.rxPackets += 1
    entry.txPackets += send.length
    await carrier.write(send, { signal: this.signal })
    this.#schedule()
    if (payload === undefined) return
    const frames = splitFrames(payload)
    if (typeof frames === 'string') throw wireErrors[frames]()
    for (const frame of frames) this.#onFrame(frame)
    this.#pump()
  }

  #onFrame(frame: Uint8Array): void {
    const event = this.#messages.receive(frame)
    if ('refused' in event) {
      count(this.#init.entry, event.refused)
      throw wireErrors[event.refused]()
    }
    if (event.event === 'message') {
      this.#inbox.push({ id: event.id, payload: event.payload })
      this.#arrivals.wake()
    }
    if (event.event === 'taken') {
      for (const id of event.ids) {
        this.#sent.get(id)?.resolve()
        this.#sent.delete(id)
      }
      this.#room.wake()
    }
    if (event.event === 'rejected') {
      this.#sent.get(event.id)?.reject(channelErrors.NZ_CHANNEL_CLOSED({ why: 'the peer refused the message' }))
      this.#sent.delete(event.id)
      this.#room.wake()
    }
  }

  /** Carries what may go, while the stream has room; one at a time. */
  #pump(): void {
    this.#pumping ??= this.#carry()
      .catch(() => this.#end())
      .finally(() => void (this.#pumping = null))
  }

  async #carry(): Promise<void> {
    const { carrier, entry, clock } = this.#init
    const { signal } = this
    // What is added in this turn goes together.
    await Promise.resolve()
    for (;;) {
      const payload = this.#nextPayload()
      if (payload === null || signal.aborted) return
      const sealed = entry.endpoint.seal(payload, clock.monotonicMs())
      if ('refused' in sealed) throw channelErrors[sealed.refused]()
      const control = entry.endpoint.due(clock.monotonicMs()).send
      entry.txPackets += 1 + control.length
      await carrier.write([sealed.packet, ...control], { signal })
    }
  }

  /** As many frames as fit in one packet. */
  #nextPayload(): Uint8Array | null {
    const frames: Uint8Array[] = []
    let byteLength = 0
    let frame = this.#left ?? this.#messages.next()
    this.#left = null
    while (frame !== null) {
      byteLength += frame.byteLength
      if (byteLength > MAX_PAYLOAD_BYTES) {
        this.#left = frame
        break
      }
      frames.push(frame)
      frame = this.#messages.next()
    }
    // One large frame is most of what passes: it is not copied.
    return frames.length > 1 ? Buffer.concat(frames) : (frames[0] ?? null)
  }

  /** Keys change by time also where nothing else happens. */
  #schedule(): void {
    const { entry, clock, carrier } = this.#init
    this.#timer?.cancel()
    const dueAtMs = entry.endpoint.dueAtMs
    if (dueAtMs === null || this.signal.aborted) return
    this.#timer = clock.setTimer(
      Math.max(0, dueAtMs - clock.monotonicMs()),
      () => {
        const { send } = entry.endpoint.due(clock.monotonicMs())
        entry.txPackets += send.length
        carrier.write(send, { signal: this.signal }).then(
          () => this.#schedule(),
          () => this.#end(),
        )
      },
      { unref: true },
    )
  }

  #expectOpen(): void {
    if (this.signal.aborted) throw channelErrors.NZ_CHANNEL_CLOSED()
  }

  #end(): void {
    if (this.signal.aborted) return
    this.#timer?.cancel()
    this.#init.entry.endpoint.close()
    this.#ended.abort()
    for (const { reject } of this.#sent.values()) reject(channelErrors.NZ_CHANNEL_CLOSED())
    this.#sent.clear()
    this.#arrivals.wake()
    this.#room.wake()
    this.#init.onEnd()
  }
}
