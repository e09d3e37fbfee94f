/**
 * The peers at the other ends of paths: for each its sessions and the paths that lead to it. A session outlives its path:
 * when one is lost, or nothing comes back on it, the next is set up and what was under way is sent again.
 */
import { startHandshake } from '../../protocols/handshake/handshake.ts'
import { decodeHello } from '../../protocols/handshake/messages.ts'
import { isPacket, PROBE_AFTER_MS, Session } from '../../protocols/flow/session.ts'
import { decodeFrame, frameType, HEADER_BYTES } from '../../protocols/wire/frame.ts'
import { bytesOf } from '../../protocols/routing/signing.ts'
import type { Clock, Logger, Random, Timer } from '../../kernel/index.ts'
import type { LocalIdentity, VerifyStaticKey } from '../../protocols/handshake/handshake.ts'
import type { Stream } from '../../protocols/flow/streams.ts'
import type { RouteCode } from '../../protocols/routing/errors.ts'
import type { FlowId, Key } from '../../protocols/routing/signing.ts'

const SESSION_PURPOSE = 'nzcore/route-session/1'
export const MAX_REMOTES = 256
export const MAX_SESSIONS_PER_REMOTE = 4
/** Until a path is asked for again after none came about; doubled each time. */
const FIRST_RETRY_MS = 200
const MAX_RETRY_MS = 5_000
/** Timeouts in a row after which a path counts as one on which packets vanish. */
const SUSPECT_AFTER_TIMEOUTS = 2
const SUSPECT_EVERY_MS = 1_000
/** Who was called leaves it to the caller to set up the next path, for so long. */
const CALLEE_WAITS_MS = 1_000
const AVOID_MS = 30_000

export interface RemotesInit {
  readonly identity: LocalIdentity
  readonly verify: VerifyStaticKey
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly openFlow: (destination: Key, avoid: ReadonlySet<Key>) => FlowId | { readonly code: RouteCode }
  readonly sendPacket: (flow: FlowId, payload: Uint8Array) => void
  readonly closeFlow: (flow: FlowId) => void
  readonly onStreamOpened: (remote: Key, session: Session, stream: Stream) => void
  readonly onStreamProgress: (session: Session, stream: Stream) => void
  readonly onStreamReset: (session: Session, stream: Stream) => void
  readonly onSessionOpened: (remote: Key, session: Session) => void
  readonly onSessionEnded: (remote: Key, session: Session) => void
}

export interface Held {
  readonly session: Session
  readonly openedAtMs: number
  /** Of the offer that this side answers. */
  readonly helloIndex: number | null
  flow: FlowId | null
  isTold: boolean
}

interface Path {
  readonly nextHop: Key
  readonly isOwn: boolean
}

interface Remote {
  readonly key: Key
  readonly held: Set<Held>
  readonly paths: Map<FlowId, Path>
  /** Neighbours through which packets vanished, and when. */
  readonly avoid: Map<Key, number>
  opening: FlowId | null
  tries: number
  tryAtMs: number
  lostAtMs: number
  suspectedAtMs: number
  lastCode: RouteCode | null
  isPumping: boolean
  timer: Timer | null
}

export class Remotes {
  readonly #init: RemotesInit
  readonly #remotes = new Map<Key, Remote>()
  /** Static keys of peers met before: calling them takes one round trip. */
  readonly #pinned = new Map<Key, Uint8Array>()

  constructor(init: RemotesInit) {
    this.#init = init
  }

  keys(): readonly Key[] {
    return [...this.#remotes.keys()]
  }

  /** The sessions with a peer that are open, and the neighbour each goes through. */
  open(key: Key): ReadonlyArray<Held & { readonly nextHop: Key | null }> {
    const remote = this.#remotes.get(key)
    if (remote === undefined) return []
    const held = [...remote.held].filter(({ session }) => session.isOpen)
    return held.map((each) => ({
      ...each,
      nextHop: each.flow === null ? null : (remote.paths.get(each.flow)?.nextHop ?? null),
    }))
  }

  /** Why there is no path, as it was told last. */
  lastCode(key: Key): RouteCode | null {
    return this.#remotes.get(key)?.lastCode ?? null
  }

  /** The session this node has called the peer with; a new one when there is none. `null` when there are too many. */
  call(key: Key): Session | null {
    const remote = this.#remotes.get(key) ?? this.#add(key)
    if (remote === null) return null
    const known = [...remote.held].find(({ session }) => session.role === 'initiator' && session.end === null)
    if (known !== undefined) return known.session
    const pinnedStatic = this.#pinned.get(key)
    const handshake = startHandshake({
      ...this.#handshakeInit(),
      role: 'initiator',
      expectedPeer: bytesOf(key),
      ...(pinnedStatic === undefined ? {} : { pinnedStatic }),
    })
    return this.#hold(remote, 'initiator', handshake, null).session
  }

  /** Something was read, written or opened: what there is to send is sent soon. */
  pump(key: Key): void {
    const remote = this.#remotes.get(key)
    if (remote === undefined || remote.isPumping) return
    remote.isPumping = true
    setImmediate(() => {
      remote.isPumping = false
      this.#pumpNow(remote)
    })
  }

  pathOpened(flow: FlowId, key: Key, path: Path): void {
    const remote = this.#remotes.get(key) ?? this.#add(key)
    if (remote === null) return this.#init.closeFlow(flow)
    remote.paths.set(flow, path)
    if (remote.opening === flow) {
      remote.opening = null
      remote.tries = 0
      remote.lastCode = null
    }
    for (const held of remote.held) {
      const isBetter = path.isOwn && held.session.role === 'initiator'
      if (held.flow === null || isBetter) this.#use(held, flow)
    }
    this.pump(key)
  }

  pathClosed(flow: FlowId, key: Key, code: RouteCode): void {
    const remote = this.#remotes.get(key)
    if (remote === undefined) return
    const nowMs = this.#nowMs()
    if (remote.opening === flow) {
      remote.opening = null
      this.#failed(remote, code)
    }
    if (!remote.paths.delete(flow)) return this.pump(key)
    remote.lostAtMs = nowMs
    for (const held of remote.held) if (held.flow === flow) held.flow = null
    this.#forgetUnused(remote)
    this.pump(key)
  }

  receive(flow: FlowId, key: Key, payload: Uint8Array): void {
    const remote = this.#remotes.get(key)
    if (remote === undefined || payload.length < HEADER_BYTES + 4) return
    const nowMs = this.#nowMs()
    const held = this.#heldFor(remote, payload)
    if (held === null || !held.session.receive(payload, nowMs)) return this.pump(key)
    // Answers go the way that the caller has chosen last.
    if (held.flow === null || (held.session.role === 'responder' && held.flow !== flow)) this.#use(held, flow)
    if (held.session.isOpen && !held.isTold) {
      held.isTold = true
      this.#init.onSessionOpened(key, held.session)
    }
    this.#reap(remote)
    this.pump(key)
  }

  /** What is over by time. */
  tick(): void {
    const nowMs = this.#nowMs()
    for (const remote of this.#remotes.values()) {
      for (const { session } of remote.held) session.tick(nowMs)
      for (const [key, atMs] of remote.avoid) if (nowMs - atMs > AVOID_MS) remote.avoid.delete(key)
      this.#pumpNow(remote)
    }
  }

  /** Ends everything with a peer. */
  drop(key: Key): void {
    const remote = this.#remotes.get(key)
    if (remote === undefined) return
    for (const { session } of remote.held) session.close()
    this.#pumpNow(remote)
  }

  close(): void {
    for (const key of this.keys()) this.drop(key)
  }

  #pumpNow(remote: Remote): void {
    const nowMs = this.#nowMs()
    remote.timer?.cancel()
    for (const held of remote.held) {
      if (held.flow !== null) this.#suspect(remote, held, nowMs)
      if (held.flow === null) this.#choose(remote, held, nowMs)
      if (held.flow !== null) for (const packet of held.session.take(nowMs)) this.#init.sendPacket(held.flow, packet)
    }
    this.#reap(remote)
    if (!this.#remotes.has(remote.key)) return
    const dues = [...remote.held].map((held) =>
      held.flow === null ? Math.max(remote.tryAtMs, nowMs + FIRST_RETRY_MS) : held.session.dueAtMs,
    )
    const dueAtMs = Math.min(...dues)
    if (dueAtMs === Infinity) return
    const delayMs = Math.max(1, Math.ceil(dueAtMs - nowMs))
    remote.timer = this.#init.clock.setTimer(delayMs, () => this.#pumpNow(remote), { unref: true })
  }

  /** A path on which nothing comes back is left, and not begun with again for a while. */
  #suspect(remote: Remote, held: Held, nowMs: number): void {
    const { session, flow } = held
    const isLate = session.streams.timeouts >= SUSPECT_AFTER_TIMEOUTS || session.isSilent(nowMs, 1.5 * PROBE_AFTER_MS)
    if (!isLate || flow === null || nowMs - remote.suspectedAtMs < SUSPECT_EVERY_MS) return
    const path = remote.paths.get(flow)
    if (path === undefined) return
    remote.suspectedAtMs = nowMs
    this.#init.log.debug('routing.pathSuspected', { flow })
    if (!path.isOwn) {
      if (nowMs - remote.lostAtMs > CALLEE_WAITS_MS) this.#ensurePath(remote, nowMs)
      return
    }
    remote.avoid.set(path.nextHop, nowMs)
    this.#init.closeFlow(flow)
  }

  #choose(remote: Remote, held: Held, nowMs: number): void {
    const [flow] = [...remote.paths.keys()].slice(-1)
    if (flow !== undefined) return this.#use(held, flow)
    const isCalled = held.session.role === 'responder' && nowMs - remote.lostAtMs < CALLEE_WAITS_MS
    if (held.session.end === null && !isCalled) this.#ensurePath(remote, nowMs)
  }

  #ensurePath(remote: Remote, nowMs: number): void {
    if (remote.opening !== null || nowMs < remote.tryAtMs) return
    const flow = this.#init.openFlow(remote.key, new Set(remote.avoid.keys()))
    if (typeof flow === 'string') remote.opening = flow
    else this.#failed(remote, flow.code)
  }

  #failed(remote: Remote, code: RouteCode): void {
    remote.lastCode = code
    remote.tryAtMs = this.#nowMs() + Math.min(FIRST_RETRY_MS * 2 ** remote.tries, MAX_RETRY_MS)
    remote.tries += 1
  }

  #use(held: Held, flow: FlowId): void {
    if (held.flow === flow) return
    held.flow = flow
    held.session.changePath(this.#nowMs())
  }

  /** The session that a frame is for: by its index, or a new one for a call. */
  #heldFor(remote: Remote, frame: Uint8Array): Held | null {
    const index = new DataView(frame.buffer, frame.byteOffset).getUint32(HEADER_BYTES)
    if (isPacket(frame) || frame[1] !== frameType.hello)
      return [...remote.held].find(({ session }) => session.localIndex === index) ?? null
    const decoded = decodeFrame(frame)
    const hello = typeof decoded === 'string' ? null : decodeHello(decoded.body)
    if (hello === null) return null
    const known = [...remote.held].find(({ helloIndex }) => helloIndex === hello.index)
    if (known !== undefined) return known
    if (remote.held.size >= MAX_SESSIONS_PER_REMOTE) {
      const stale = [...remote.held].find(({ session }) => session.role === 'responder')
      if (stale === undefined) return null
      stale.session.close()
      this.#reap(remote)
    }
    const isAllowed = (peer: Uint8Array): boolean => Buffer.compare(peer, bytesOf(remote.key)) === 0
    const handshake = startHandshake({ ...this.#handshakeInit(), role: 'responder', isAllowed })
    return this.#hold(remote, 'responder', handshake, hello.index)
  }

  #hold(
    remote: Remote,
    role: 'initiator' | 'responder',
    handshake: ReturnType<typeof startHandshake>,
    helloIndex: number | null,
  ): Held {
    const { identity, random, onStreamOpened, onStreamProgress, onStreamReset } = this.#init
    const { key } = remote
    const nowMs = this.#nowMs()
    const session: Session = new Session({
      role,
      handshake,
      staticKey: identity.staticKey,
      random,
      nowMs,
      onEstablished: ({ peerStatic }) => this.#pin(key, peerStatic),
      onOpened: (stream) => onStreamOpened(key, session, stream),
      onProgress: (stream) => onStreamProgress(session, stream),
      onReset: (stream) => onStreamReset(session, stream),
    })
    const held: Held = { session, openedAtMs: this.#init.clock.nowMs(), helloIndex, flow: null, isTold: false }
    remote.held.add(held)
    return held
  }

  #handshakeInit() {
    const { identity, verify, random } = this.#init
    return { identity, verify, random, purpose: SESSION_PURPOSE, features: [], nowMs: this.#nowMs() }
  }

  #pin(key: Key, peerStatic: Uint8Array): void {
    this.#pinned.delete(key)
    this.#pinned.set(key, peerStatic.slice())
    const [oldest] = this.#pinned.keys()
    if (this.#pinned.size > MAX_REMOTES && oldest !== undefined) this.#pinned.delete(oldest)
  }

  /** Forgets sessions that are over, with their last words sent, and the peer with its last session. */
  #reap(remote: Remote): void {
    for (const held of remote.held) {
      const { session, flow } = held
      if (session.end === null) continue
      remote.held.delete(held)
      if (flow !== null) for (const packet of session.take(this.#nowMs())) this.#init.sendPacket(flow, packet)
      this.#init.log.debug('routing.sessionEnded', { end: session.end })
      this.#init.onSessionEnded(remote.key, session)
    }
    this.#forgetUnused(remote)
  }

  /** Paths of others stay as long as they keep them; own ones go with the last session. */
  #forgetUnused(remote: Remote): void {
    if (remote.held.size > 0) return
    for (const [flow, { isOwn }] of remote.paths) {
      if (!isOwn) continue
      remote.paths.delete(flow)
      this.#init.closeFlow(flow)
    }
    if (remote.paths.size > 0 || this.#remotes.get(remote.key) !== remote) return
    remote.timer?.cancel()
    this.#remotes.delete(remote.key)
  }

  #add(key: Key): Remote | null {
    if (this.#remotes.size >= MAX_REMOTES) return null
    const remote: Remote = {
      key,
      held: new Set(),
      paths: new Map(),
      avoid: new Map(),
      opening: null,
      tries: 0,
      tryAtMs: 0,
      lostAtMs: -CALLEE_WAITS_MS,
      suspectedAtMs: -SUSPECT_EVERY_MS,
      lastCode: null,
      isPumping: false,
      timer: null,
    }
    this.#remotes.set(key, remote)
    return remote
  }

  #nowMs(): number {
    return this.#init.clock.monotonicMs()
  }
}
