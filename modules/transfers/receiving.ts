/** Everything this node receives: who may, into what, and what becomes of it. */
import { storageEvents } from '../storage/service.ts'
import { transfersErrors, transfersEvents } from './service.ts'
import { TRANSFER_PROTOCOL } from '../../protocols/transfer/limits.ts'
import { Admission } from './admission.ts'
import { TransferChannel } from './channel.ts'
import { IncomingStream } from './incoming-stream.ts'
import { Partials } from './partials.ts'
import { completePartial, resumeCompletions } from './completion.ts'
import { TransferProgress } from './progress.ts'
import { waitingSnapshot } from './waiting.ts'
import type { ModuleContext, Timer } from '../../kernel/index.ts'
import type { End, Offer } from '../../protocols/transfer/messages.ts'
import type { ContactsService } from '../contacts/service.ts'
import type { TrustService } from '../trust/service.ts'
import type { NetworkService, PeerStream } from '../network/service.ts'
import type { Admitted } from './incoming-stream.ts'
import type { Board } from './board.ts'
import type { Inboxes } from './inboxes.ts'
import type { Listener, Listeners } from './listeners.ts'
import type { ReceiptSigner } from './receipts.ts'
import type { Inbox, TransferSnapshot } from './service.ts'
import type { TransferSettings } from './settings.ts'
import type { TransferState } from './state.ts'

/** Streams of one peer beyond its transfers: those that are being replaced, or have not offered yet. */
const SPARE_STREAMS = 4

export interface ReceivingServices {
  readonly context: ModuleContext
  readonly network: NetworkService
  readonly contacts: ContactsService
  readonly trust: Pick<TrustService, 'may'>
  readonly state: TransferState
  readonly board: Board
  readonly inboxes: Inboxes
  readonly listeners: Listeners
  readonly receipts: ReceiptSigner
}

/** How long a listener waits for a sender that was cut off. */
const LISTENER_PATIENCE_MS = 60_000

interface Active {
  readonly stream: IncomingStream
  readonly ended: Promise<void>
}

export class Receiving {
  readonly #services: ReceivingServices
  readonly #settings: TransferSettings
  readonly #admission: Admission
  readonly #partials: Partials
  readonly #active = new Map<string, Active>()
  /** Listeners' transfers whose sender was cut off. */
  readonly #stranded = new WeakMap<TransferProgress, Timer>()

  constructor(services: ReceivingServices, settings: TransferSettings) {
    const { clock, log } = services.context
    this.#services = services
    this.#settings = settings
    this.#admission = new Admission(settings, clock)
    this.#partials = new Partials(services.state, settings, clock, log)
  }

  /** Finishes what an earlier run had begun to put in place, then takes streams until `signal` aborts. */
  async start(signal: AbortSignal): Promise<void> {
    const { network, context } = this.#services
    await this.takeUp()
    const settle = async (): Promise<void> => {
      await this.#partials.settle().catch((error: unknown) => context.log.warn('transfers.notRecorded', { error }))
    }
    context.events.on(storageEvents.writable, settle, { signal })
    network.handleStreams(TRANSFER_PROTOCOL, async (stream) => await this.#serve(stream), {
      signal,
      maxStreamsPerPeer: this.#settings.maxIncomingPerPeer + SPARE_STREAMS,
    })
  }

  /** What an earlier run left: completes it, and removes what is too old. Nothing while that cannot be read. */
  async takeUp(): Promise<void> {
    const { inboxes, context, state } = this.#services
    if (!state.isReadable) return
    await resumeCompletions(this.#services)
    await this.#partials.expire()
    for (const { directory } of inboxes.list()) {
      await this.#partials.sweep(directory).catch((error: unknown) => {
        context.log.warn('transfers.folderUnreadable', { directory, error })
      })
    }
  }

  /** Unfinished files that wait for their sender. */
  waiting(): readonly TransferSnapshot[] {
    const { contacts } = this.#services
    return this.#partials.waiting().map((record) => waitingSnapshot(record, contacts.get(record.peerId)?.name))
  }

  /** Takes one transfer for a listener. @throws NZ_TRANSFERS_NAME_TAKEN, and what the transfer failed with */
  async listen(wanted: Pick<Listener, 'name' | 'from' | 'consumer'>, signal: AbortSignal): Promise<TransferSnapshot> {
    const { listeners } = this.#services
    signal.throwIfAborted()
    const listener = listeners.add(wanted)
    const onAbort = (): void => {
      const gone = transfersErrors.NZ_TRANSFERS_CONSUMER_GONE({ cause: signal.reason })
      listener.result.reject(gone)
      if (listener.taking !== null) this.#end(listener.taking, gone)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await listener.result.promise
    } finally {
      signal.removeEventListener('abort', onAbort)
      listeners.remove(listener)
    }
  }

  /** `false` when no such transfer is coming in. What was held of it is deleted. */
  async cancel(id: string): Promise<boolean> {
    const active = this.#services.board
      .active()
      .find((one) => one.id === id && one.snapshot().direction === 'receiving')
    if (active !== undefined) {
      this.#end(active, transfersErrors.NZ_TRANSFERS_CANCELLED({ why: 'cancelled by the receiver' }))
      await active.result().catch(() => undefined)
    }
    const record = this.#partials.waiting().find((partial) => partial.id === id)
    if (record !== undefined) await this.#partials.drop(record)
    return active !== undefined || record !== undefined
  }

  /** Ends every stream; senders are told to come back. */
  async stop(): Promise<void> {
    const all = [...this.#active.values()]
    for (const { stream } of all) stream.end(transfersErrors.NZ_TRANSFERS_BUSY({ why: 'the node is stopping' }))
    await Promise.allSettled(all.map(async ({ ended }) => await ended))
  }

  async #serve(peerStream: PeerStream): Promise<void> {
    const { clock } = this.#services.context
    const { peerId } = peerStream
    const ended = Promise.withResolvers<void>()
    const stream: IncomingStream = new IncomingStream(new TransferChannel(peerStream, clock), {
      clock,
      maxBytes: this.#settings.maxTransferBytes,
      admit: async (offer) => await this.#admit(peerId, offer, { stream, ended: ended.promise }),
    })
    try {
      await stream.run()
    } finally {
      ended.resolve()
    }
  }

  async #admit(peerId: string, offer: Offer, active: Active): ReturnType<IncomingAdmit> {
    const { contacts, trust, state, receipts } = this.#services
    const contact = contacts.get(peerId)
    if (contact === undefined || !trust.may(peerId, 'send')) {
      throw transfersErrors.NZ_TRANSFERS_NOT_CONTACT({ data: { peerId } })
    }
    this.#admission.offer(peerId)
    const id = Buffer.from(offer.id).toString('hex')
    if ((offer.size ?? 0) > this.#settings.maxTransferBytes) throw transfersErrors.NZ_TRANSFERS_TOO_LARGE()
    const key = `${peerId}/${id}`
    await this.#replace(key)
    // Asked after that: the older stream may just have put the file in its place.
    const delivered = state.delivered(peerId, id)
    if (delivered?.receipt != null) return { receipt: receipts.wire(delivered.receipt) }
    const leave = this.#admission.enter(peerId)
    this.#active.set(key, active)
    const release = (): void => {
      leave()
      if (this.#active.get(key) === active) this.#active.delete(key)
    }
    try {
      return await this.#take(contact, id, offer, release)
    } catch (error) {
      release()
      throw error
    }
  }

  /** A sender that comes back on a new stream has lost the old one, even when this side has not seen that yet. */
  async #replace(key: string): Promise<void> {
    for (let older = this.#active.get(key); older !== undefined; older = this.#active.get(key)) {
      older.stream.end(transfersErrors.NZ_TRANSFERS_BUSY({ why: 'the sender came back on a new stream' }))
      await older.ended
    }
  }

  async #take(
    contact: { readonly peerId: string; readonly name: string },
    id: string,
    offer: Offer,
    release: () => void,
  ): Promise<Admitted> {
    const { board, context, inboxes, listeners } = this.#services
    const listener = listeners.for(contact.peerId, id, offer.name)
    const inbox = listener === undefined ? inboxes.for(contact.peerId) : undefined
    if (listener === undefined && inbox === undefined) throw transfersErrors.NZ_TRANSFERS_NOT_RECEIVING()
    const before = listener?.taking ?? null
    const progress =
      before ??
      new TransferProgress(context.clock, {
        id,
        direction: 'receiving',
        peerId: contact.peerId,
        peer: contact.name,
        name: offer.name,
        state: 'waiting',
        size: offer.size,
        bytes: 0,
        startedAtMs: context.clock.nowMs(),
        endedAtMs: null,
        sha256: null,
        path: null,
        receipt: null,
        code: null,
      })
    const admitted =
      listener === undefined
        ? await this.#intoFile(progress, offer, inbox as Inbox)
        : await this.#intoListener(progress, offer, listener)
    if (before === null) {
      board.add(progress)
      const { peerId } = contact
      context.events.emit(transfersEvents.started, {
        id,
        peerId,
        name: offer.name,
        direction: 'receiving',
        size: offer.size,
      })
    }
    return {
      ...admitted,
      onProgress: (bytes, state) => progress.update({ bytes, state, code: null }),
      release: async (error) => {
        try {
          await admitted.release(error)
        } finally {
          release()
        }
      },
    }
  }

  async #intoFile(progress: TransferProgress, offer: Offer, inbox: Inbox): Promise<Omit<Admitted, 'onProgress'>> {
    const { board, inboxes, context } = this.#services
    const free = inboxes.reserve(inbox)
    const partial = await this.#partials.take(offer, progress.snapshot().peerId, inbox).catch((error: unknown) => {
      free()
      throw error
    })
    inboxes.show(inbox.id, progress)
    return {
      sink: partial.sink,
      complete: async (end) => {
        const facts = this.#facts(progress, offer, end)
        const receipt = await completePartial(this.#services, this.#partials, partial, progress, facts)
        if (inbox.isOnce) await this.#closeInbox(inbox)
        return receipt
      },
      release: async (error) => {
        free()
        inboxes.forget(inbox.id, progress)
        if (progress.isFinal) return
        await partial.sink.pause().catch((failure: unknown) => {
          context.log.warn('transfers.partialLost', { id: progress.id, error: failure })
        })
        if (isWorthKeeping(error)) await this.#partials.release(partial)
        else await this.#partials.drop(partial.record)
        if (isCut(error)) {
          progress.update({ state: 'waiting', code: 'NZ_NETWORK_STREAM_RESET' })
          board.drop(progress)
        } else {
          progress.fail(error)
          await board.finish(progress, inbox.id)
        }
      },
    }
  }

  /** The file is there: that the folder's end cannot be written now must not undo it. */
  async #closeInbox({ id }: Inbox): Promise<void> {
    try {
      await this.#services.inboxes.close(id)
    } catch (error) {
      this.#services.context.log.warn('transfers.notRecorded', { id, error })
    }
  }

  async #intoListener(
    progress: TransferProgress,
    offer: Offer,
    listener: Listener,
  ): Promise<Omit<Admitted, 'onProgress'>> {
    const { context, board, receipts } = this.#services
    const { peerId } = progress.snapshot()
    if (listener.taking === null) {
      listener.taking = progress
      await listener.consumer.start(progress.snapshot())
    }
    this.#stranded.get(progress)?.cancel()
    return {
      sink: listener.sink,
      complete: async (end) => {
        const facts = this.#facts(progress, offer, end)
        const receipt = receipts.issue(facts, context.clock.nowMs())
        const sha256 = Buffer.from(end.sha256).toString('hex')
        const done = progress.done({ bytes: end.size, size: end.size, sha256, receipt })
        await board.finish(progress, null)
        listener.result.resolve(done)
        const { id, name } = done
        context.events.emit(transfersEvents.received, { id, peerId, name, size: end.size, sha256, path: null })
        return receipts.wire(receipt)
      },
      release: async (error) => {
        if (progress.isFinal) return
        try {
          await listener.sink.pause()
          if (isCut(error)) this.#awaitSender(progress, listener)
          else await this.#failListener(progress, listener, error)
        } catch (failure) {
          await this.#failListener(progress, listener, failure)
        }
      },
    }
  }

  /** A program cannot wait for ever for a sender that was cut off. */
  #awaitSender(progress: TransferProgress, listener: Listener): void {
    progress.update({ state: 'waiting', code: 'NZ_NETWORK_STREAM_RESET' })
    const { clock, log } = this.#services.context
    const timer = clock.setTimer(
      LISTENER_PATIENCE_MS,
      () => {
        const error = transfersErrors.NZ_TRANSFERS_INTERRUPTED({ data: { bytes: progress.snapshot().bytes } })
        this.#failListener(progress, listener, error).catch((failure: unknown) => {
          log.error('transfers.notRecorded', { id: progress.id, error: failure })
        })
      },
      { unref: true },
    )
    this.#stranded.set(progress, timer)
  }

  async #failListener(progress: TransferProgress, listener: Listener, error: unknown): Promise<void> {
    this.#stranded.get(progress)?.cancel()
    progress.fail(error)
    listener.result.reject(error)
    await this.#services.board.finish(progress, null)
  }

  /** Ends a transfer on this side, whether a stream is open for it or not. */
  #end(progress: TransferProgress, error: Error): void {
    const active = this.#active.get(`${progress.snapshot().peerId}/${progress.id}`)
    if (active !== undefined) {
      active.stream.end(error)
      return
    }
    const listener = this.#services.listeners.taking(progress)
    if (listener === undefined) return
    this.#failListener(progress, listener, error).catch((failure: unknown) => {
      this.#services.context.log.error('transfers.notRecorded', { id: progress.id, error: failure })
    })
  }

  #facts(progress: TransferProgress, offer: Offer, end: End): Parameters<ReceiptSigner['issue']>[0] {
    const { peerId } = progress.snapshot()
    const { network } = this.#services
    const { id: transfer, name } = offer
    return { transfer, sender: peerId, receiver: network.peerId, name, size: end.size, sha256: end.sha256 }
  }
}

/** What a sender may go on with later; what was cancelled, a full or failing disk and damaged data are not kept. */
function isWorthKeeping(error: unknown): boolean {
  return isCut(error) || hasCode(error, 'NZ_TRANSFERS_SOURCE_FAILED')
}

type IncomingAdmit = ConstructorParameters<typeof IncomingStream>[1]['admit']

function isCut(error: unknown): boolean {
  return hasCode(error, 'NZ_TRANSFERS_BUSY') || (error instanceof Error && 'code' in error && isNetworkCode(error.code))
}

function isNetworkCode(code: unknown): boolean {
  return typeof code === 'string' && code.startsWith('NZ_NETWORK_')
}

function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.some((code) => code === error.code)
}
