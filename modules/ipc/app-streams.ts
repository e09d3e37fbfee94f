/** Application streams: a program here, a program there, and a peer stream between them. For contacts only. */
import type { Clock, Timer } from '../../kernel/index.ts'
import type { streamsContract } from '../../protocols/ipc/contract/streams.ts'
import type { Duplex, ResultOf } from '../../protocols/ipc/endpoint.ts'
import { ipcErrors } from '../../protocols/ipc/errors.ts'
import type { Contact, ContactsService } from '../contacts/service.ts'
import type { TrustService } from '../trust/service.ts'
import type { NetworkService, PeerStream } from '../network/service.ts'

/** Protocols that programs of this node serve at once. */
export const MAX_SERVED_PROTOCOLS = 64
/** Incoming streams of one protocol that wait for a program to take them. */
export const MAX_WAITING_STREAMS = 16
/** How long an incoming stream waits, and how long a protocol is served after the last program left. */
export const ACCEPT_WAIT_MS = 5_000

type Opened = ResultOf<(typeof streamsContract)['streamsOpen']>
type AppDuplex = Duplex<Opened>

export interface AppStreamsInit {
  readonly network: NetworkService
  readonly contacts: ContactsService
  readonly trust: Pick<TrustService, 'may'>
  readonly clock: Clock
  readonly signal: AbortSignal
}

/** A program that waits for a stream, or has one. */
interface Acceptor {
  readonly duplex: AppDuplex
  readonly over: PromiseWithResolvers<void>
}

interface Served {
  readonly controller: AbortController
  readonly acceptors: Acceptor[]
  /** Incoming streams that wait, first come first served. */
  readonly waiting: Array<(acceptor: Acceptor) => void>
  users: number
  grace: Timer | null
}

export class AppStreams {
  readonly #init: AppStreamsInit
  readonly #served = new Map<string, Served>()

  constructor(init: AppStreamsInit) {
    this.#init = init
  }

  /** Connects if need be, opens the stream, and carries bytes until both directions ended. */
  async open(reference: string, protocol: string, duplex: AppDuplex, { signal }: { signal: AbortSignal }) {
    const { network, contacts } = this.#init
    const contact = contacts.resolve(reference)
    const { peerId, addresses } = contact
    if (network.peer(peerId)?.state !== 'connected') await network.connect(peerId, { addresses, signal })
    const stream = await network.openStream(peerId, protocol, { signal })
    try {
      await duplex.send(openedBy(contact, protocol))
      await carry(stream, duplex)
    } catch (error) {
      stream.reset()
      throw error
    }
  }

  /** Takes the next incoming stream of the protocol, and carries bytes until both directions ended. */
  async accept(protocol: string, duplex: AppDuplex, { signal }: { signal: AbortSignal }): Promise<void> {
    const served = this.#serve(protocol)
    const acceptor = { duplex, over: Promise.withResolvers<void>() }
    const onAbort = (): void => {
      const at = served.acceptors.indexOf(acceptor)
      if (at === -1) return
      served.acceptors.splice(at, 1)
      acceptor.over.resolve()
    }
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      const take = served.waiting.shift()
      if (take === undefined) served.acceptors.push(acceptor)
      else take(acceptor)
      if (signal.aborted) onAbort()
      await acceptor.over.promise
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#leave(protocol, served)
    }
  }

  #serve(protocol: string): Served {
    const before = this.#served.get(protocol)
    if (before !== undefined) {
      before.users++
      before.grace?.cancel()
      return before
    }
    if (this.#served.size >= MAX_SERVED_PROTOCOLS) {
      throw ipcErrors.NZ_STREAMS_TOO_MANY_PROTOCOLS({ data: { limit: MAX_SERVED_PROTOCOLS } })
    }
    const served: Served = { controller: new AbortController(), acceptors: [], waiting: [], users: 1, grace: null }
    const signal = AbortSignal.any([served.controller.signal, this.#init.signal])
    this.#init.network.handleStreams(protocol, async (stream) => await this.#incoming(served, stream), { signal })
    this.#served.set(protocol, served)
    return served
  }

  #leave(protocol: string, served: Served): void {
    served.users--
    if (served.users > 0) return
    const stop = (): void => {
      if (served.users > 0) return
      this.#served.delete(protocol)
      served.controller.abort()
    }
    served.grace = this.#init.clock.setTimer(ACCEPT_WAIT_MS, stop, { unref: true })
  }

  async #incoming(served: Served, stream: PeerStream): Promise<void> {
    const { contacts, trust } = this.#init
    const contact = contacts.get(stream.peerId)
    if (contact === undefined || !trust.may(stream.peerId, 'send'))
      throw ipcErrors.NZ_STREAMS_STRANGER({ data: { peerId: stream.peerId } })
    const { duplex, over } = await this.#nextAcceptor(served, stream.signal)
    try {
      await duplex.send(openedBy(contact, stream.protocol))
      await carry(stream, duplex)
      over.resolve()
    } catch (error) {
      over.reject(error)
      throw error
    }
  }

  async #nextAcceptor(served: Served, signal: AbortSignal): Promise<Acceptor> {
    const ready = served.acceptors.shift()
    if (ready !== undefined) return ready
    if (served.waiting.length >= MAX_WAITING_STREAMS) throw ipcErrors.NZ_STREAMS_NOT_ACCEPTED()
    const { promise, resolve, reject } = Promise.withResolvers<Acceptor>()
    served.waiting.push(resolve)
    const leaveLine = (): void => {
      const at = served.waiting.indexOf(resolve)
      if (at !== -1) served.waiting.splice(at, 1)
    }
    // At once: a program that came now would be given to nobody, and wait for ever.
    const giveUp = (): void => {
      leaveLine()
      reject(ipcErrors.NZ_STREAMS_NOT_ACCEPTED())
    }
    const timer = this.#init.clock.setTimer(ACCEPT_WAIT_MS, giveUp, { unref: true })
    signal.addEventListener('abort', giveUp, { once: true })
    try {
      return await promise
    } finally {
      timer.cancel()
      signal.removeEventListener('abort', giveUp)
      leaveLine()
    }
  }
}

function openedBy({ peerId, id, name }: Contact, protocol: string): Opened {
  return { type: 'opened', peerId, id, name, protocol }
}

/** Both directions at their own pace, each ended on its own. A failure of one ends the other. */
async function carry(stream: PeerStream, duplex: AppDuplex): Promise<void> {
  const give = async (): Promise<void> => {
    for (let item = await duplex.read(); item !== null; item = await duplex.read()) {
      if (!('bytes' in item)) throw ipcErrors.NZ_IPC_FRAME_INVALID({ why: 'application streams carry bytes only' })
      await stream.write(item.bytes, { signal: duplex.signal })
    }
    await stream.closeWrite()
  }
  const take = async (): Promise<void> => {
    for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) await duplex.write(bytes)
    await duplex.end()
  }
  const both = [give(), take()]
  try {
    await Promise.all(both)
    await stream.close()
  } catch (error) {
    stream.reset()
    duplex.fail(error)
    await Promise.allSettled(both)
    throw error
  }
}
