/** The other side of a forward: streams of contacts that ask for a service offered here, joined to its TCP address. */
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { deadline } from '../../kernel/index.ts'
import { decodeHeader, encodeAnswer } from '../../protocols/forward/header.ts'
import { shortFrame } from '../../protocols/framing/short-frames.ts'
import type { Clock, Logger } from '../../kernel/index.ts'
import type { ForwardRefusal } from '../../protocols/forward/header.ts'
import type { ContactsService } from '../contacts/service.ts'
import type { TrustService } from '../trust/service.ts'
import type { PeerStream } from '../network/service.ts'
import { readFrame } from './frame-stream.ts'
import { splice } from './splice.ts'
import type { Tally } from './tally.ts'

const HEADER_TIMEOUT_MS = 10_000
const TARGET_TIMEOUT_MS = 10_000
const KEEP_ALIVE_MS = 60_000

/** A service that is offered. `signal` ends its connections. */
export interface Offer {
  readonly host: string
  readonly port: number
  readonly allow: readonly string[] | null
  readonly tally: Tally
  readonly signal: AbortSignal
}

export interface ExposerServices {
  readonly contacts: Pick<ContactsService, 'get'>
  readonly trust: Pick<TrustService, 'may'>
  readonly offer: (service: string) => Offer | undefined
  readonly onRefused: (peerId: string, service: string, code: ForwardRefusal) => void
  readonly clock: Clock
  readonly log: Logger
}

export async function serveForward(
  stream: PeerStream,
  services: ExposerServices,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const { clock, contacts, log, onRefused } = services
  const { body, rest } = await readFrame(stream, clock, HEADER_TIMEOUT_MS, signal)
  const service = decodeHeader(body)
  const admitted = admit(stream.peerId, service, services)
  if (typeof admitted === 'string') {
    // Strangers may ask as often as they like: what they ask for must not push everything else out of the events.
    if (contacts.get(stream.peerId) === undefined) log.debug('forwards.strangerRefused', { peerId: stream.peerId })
    else onRefused(stream.peerId, service ?? '', admitted)
    await refuse(stream, admitted, signal)
    return
  }
  const { tally } = admitted
  const release = tally.open()
  try {
    const ends = AbortSignal.any([signal, admitted.signal])
    const socket = await dialTarget(admitted, clock, ends)
    if (socket === null) {
      tally.lastCode = 'NZ_FORWARD_TARGET'
      await refuse(stream, 'NZ_FORWARD_TARGET', signal)
      return
    }
    try {
      await stream.write(shortFrame(encodeAnswer({ type: 'connected' })), { signal: ends })
    } catch (error) {
      socket.destroy()
      throw error
    }
    tally.connected()
    // Not `signal`: it also aborts when the stream has ended in order, and the socket may still have bytes to flush.
    await splice(socket, stream, { firstBytes: rest, signal: admitted.signal, onBytes: tally.count })
  } finally {
    release()
    log.debug('forwards.served', { peerId: stream.peerId, service })
  }
}

/** A stranger learns nothing of what is offered: it is refused whatever it asks for. */
function admit(
  peerId: string,
  service: string | null,
  { contacts, trust, offer }: ExposerServices,
): Offer | ForwardRefusal {
  if (service === null) return 'NZ_FORWARD_PROTOCOL'
  if (contacts.get(peerId) === undefined || !trust.may(peerId, 'send')) return 'NZ_FORWARD_REFUSED'
  const found = offer(service)
  if (found === undefined) return 'NZ_FORWARD_SERVICE_UNKNOWN'
  if (found.allow !== null && !found.allow.includes(peerId)) return 'NZ_FORWARD_REFUSED'
  return found.tally.isFull ? 'NZ_FORWARD_BUSY' : found
}

async function refuse(stream: PeerStream, code: ForwardRefusal, signal: AbortSignal): Promise<void> {
  await stream.write(shortFrame(encodeAnswer({ type: 'refused', code })), { signal })
  await stream.close({ signal })
}

/** `null` when the target does not answer. */
async function dialTarget({ host, port }: Offer, clock: Clock, signal: AbortSignal): Promise<Socket | null> {
  using limit = deadline(clock, TARGET_TIMEOUT_MS, { signal })
  const socket = connect({ host, port, allowHalfOpen: true, noDelay: true })
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const onAbort = (): void => resolve(false)
  limit.signal.addEventListener('abort', onAbort, { once: true })
  socket.once('connect', () => resolve(true))
  socket.on('error', () => resolve(false))
  const isConnected = (await promise) && !limit.signal.aborted
  limit.signal.removeEventListener('abort', onAbort)
  if (!isConnected) {
    socket.destroy()
    return null
  }
  socket.setKeepAlive(true, KEEP_ALIVE_MS)
  return socket
}
