/** The calling side of a handshake (NZ-HANDSHAKE-01 §5.1): resumes, else calls by a known key, else asks who is there. */
import { isNzError } from '../../kernel/index.ts'
import { Handshake } from '../noise/handshake.ts'
import { decodeFrame, frameType } from '../wire/frame.ts'
import { assertInit, checkPayload, ephemeralKey, newIndexOf, noisePatterns, ownPayload, VERSION } from './agreement.ts'
import { handshakeCodes } from './errors.ts'
import { establish } from './established.ts'
import { FIRST_RESEND_MS, HANDSHAKE_TIMEOUT_MS, MAX_RESEND_MS, MAX_RETRIES, SENDS_BEFORE_FALLBACK } from './limits.ts'
import { decodePayload, decodeReply, encodeHello, encodePayload, encodeReply, NOTHING, prologueOf } from './messages.ts'
import { QUIET } from './running.ts'
import { Tries } from './tries.ts'
import type { HandshakeCode } from './errors.ts'
import type { Established } from './established.ts'
import type { InitiatorInit, RunningHandshake, Step } from './running.ts'
import type { PatternName } from './messages.ts'

interface Attempt {
  readonly pattern: PatternName
  readonly index: number
  readonly ticketId: Uint8Array
  readonly noise: Handshake
  /** The first Noise message. */
  readonly message: Uint8Array
}

export class Initiator implements RunningHandshake {
  readonly #init: InitiatorInit
  readonly #deadlineMs: number
  /** Patterns still to be tried. */
  readonly #patterns: PatternName[]
  #attempt: Attempt
  #state: 'calling' | 'finishing' | 'over' = 'calling'
  /** The frame to send again. */
  #frame: Uint8Array
  #sends = 0
  #nextSendMs: number
  #retries = 0
  readonly #tries: Tries
  #lastRefusal: HandshakeCode | null = null

  constructor(init: InitiatorInit) {
    assertInit(init)
    this.#init = init
    this.#deadlineMs = init.nowMs + HANDSHAKE_TIMEOUT_MS
    this.#nextSendMs = init.nowMs
    this.#tries = new Tries(init.nowMs)
    this.#patterns = patternsFor(init)
    this.#attempt = this.#begin(this.#patterns.shift() ?? 'XX')
    this.#frame = this.#hello(NOTHING)
  }

  get localIndex(): number {
    return this.#attempt.index
  }

  get dueAtMs(): number | null {
    if (this.#state === 'over') return null
    const isFirst = this.#state === 'calling' && this.#sends === 0
    return isFirst || this.#init.resends !== false ? Math.min(this.#nextSendMs, this.#deadlineMs) : this.#deadlineMs
  }

  due(nowMs: number): Step {
    const dueAtMs = this.dueAtMs
    if (dueAtMs === null || nowMs < dueAtMs) return QUIET
    if (nowMs >= this.#deadlineMs) return this.#giveUp()
    const isUnanswered = this.#state === 'calling' && this.#sends >= SENDS_BEFORE_FALLBACK
    if (isUnanswered && this.#patterns.length > 0) this.#fallBack()
    return { send: [this.#sendAgain(nowMs)] }
  }

  confirm(): void {
    if (this.#state === 'finishing') this.#state = 'over'
  }

  receive(bytes: Uint8Array, nowMs: number): Step {
    if (this.#state === 'over') return QUIET
    const frame = decodeFrame(bytes)
    if (typeof frame === 'string') return { send: [], refused: 'NZ_HANDSHAKE_MALFORMED' }
    if (frame.type === frameType.hello || frame.type === frameType.finish || frame.type >= frameType.packet) {
      return { send: [], refused: 'NZ_HANDSHAKE_MALFORMED' }
    }
    const { to, rest } = decodeReply(frame.body)
    if (to !== this.#attempt.index) return QUIET
    if (frame.type === frameType.answer) return this.#onAnswer(rest, nowMs)
    if (this.#state === 'finishing' && frame.type === frameType.retry) return QUIET
    return frame.type === frameType.retry ? this.#onRetry(rest, nowMs) : this.#onRefuse(rest[0] ?? 0, nowMs)
  }

  #begin(pattern: PatternName): Attempt {
    const init = this.#init
    const { identity, random, ticket } = init
    const index = newIndexOf(init)
    const isResumed = pattern === 'IKpsk1'
    const ticketId = isResumed && ticket !== undefined ? ticket.id : NOTHING
    const remoteStatic = isResumed ? ticket?.peerStatic : init.pinnedStatic
    const noise = new Handshake({
      pattern: noisePatterns[pattern],
      role: 'initiator',
      prologue: prologueOf(VERSION, pattern, index, ticketId),
      staticKey: identity.staticKey,
      ephemeralKey: ephemeralKey(random),
      ...(pattern === 'XX' || remoteStatic === undefined ? {} : { remoteStatic }),
      ...(isResumed && ticket !== undefined ? { preSharedKeys: [ticket.preSharedKey] } : {}),
    })
    const peer = init.expectedPeer ?? null
    const payload = pattern === 'XX' ? NOTHING : encodePayload(ownPayload(init, { index, peer, isResumed }))
    return { pattern, index, ticketId, noise, message: noise.writeMessage(payload) }
  }

  #hello(cookie: Uint8Array): Uint8Array {
    return encodeHello({ ...this.#attempt, cookie })
  }

  #fallBack(): void {
    const pattern = this.#patterns.shift()
    if (pattern === undefined) return
    this.#attempt = this.#begin(pattern)
    this.#frame = this.#hello(NOTHING)
    this.#sends = 0
  }

  #sendAgain(nowMs: number): Uint8Array {
    this.#nextSendMs = nowMs + Math.min(FIRST_RESEND_MS * 2 ** this.#sends, MAX_RESEND_MS)
    this.#sends += 1
    return this.#frame
  }

  #onRetry(cookie: Uint8Array, nowMs: number): Step {
    this.#retries += 1
    if (this.#retries > MAX_RETRIES) return { send: [], refused: 'NZ_HANDSHAKE_COOKIE' }
    this.#frame = this.#hello(cookie)
    return { send: [this.#sendAgain(nowMs)] }
  }

  /** Nobody vouches for a refusal: it makes the next pattern be tried at once, and is named when nothing else came. */
  #onRefuse(number: number, nowMs: number): Step {
    const code = handshakeCodes[number] ?? 'NZ_HANDSHAKE_MALFORMED'
    if (this.#state === 'calling' && this.#patterns.length > 0) {
      this.#fallBack()
      return { send: [this.#sendAgain(nowMs)] }
    }
    this.#lastRefusal = code
    return { send: [], refused: code }
  }

  #onAnswer(message: Uint8Array, nowMs: number): Step {
    if (this.#state === 'finishing') return { send: [this.#frame], isRepeated: true }
    if (!this.#tries.take(nowMs)) return { send: [], refused: 'NZ_HANDSHAKE_UNAUTHENTIC' }
    const noise = this.#attempt.noise.fork()
    const read = this.#read(noise, message)
    if ('code' in read) {
      this.#lastRefusal = read.code
      return { send: [], refused: read.code }
    }
    return this.#finish(noise, read, nowMs)
  }

  #read(
    noise: Handshake,
    message: Uint8Array,
  ): { peerKey: Uint8Array; payload: PeerPayload } | { code: HandshakeCode } {
    let plain: Uint8Array
    try {
      plain = noise.readMessage(message)
    } catch (error) {
      if (isNzError(error)) return { code: 'NZ_HANDSHAKE_UNAUTHENTIC' }
      throw error
    }
    const payload = decodePayload(plain)
    if (payload === null) return { code: 'NZ_HANDSHAKE_MALFORMED' }
    const resumed = this.#attempt.pattern === 'IKpsk1' ? (this.#init.ticket ?? null) : null
    const checked = checkPayload(this.#init, payload, { remoteStatic: noise.remoteStatic ?? NOTHING, resumed })
    return 'code' in checked ? checked : { peerKey: checked.peerKey, payload }
  }

  #finish(noise: Handshake, { peerKey, payload }: { peerKey: Uint8Array; payload: PeerPayload }, nowMs: number): Step {
    const init = this.#init
    const { pattern, index } = this.#attempt
    const send: Uint8Array[] = []
    if (pattern === 'XX') {
      const own = encodePayload(ownPayload(init, { index, peer: peerKey, isResumed: false }))
      this.#frame = encodeReply('finish', payload.index, noise.writeMessage(own))
      this.#sends = 0
      send.push(this.#sendAgain(nowMs))
    }
    // With IK nothing is left to send again: the first packet of the channel tells the responder.
    this.#state = pattern === 'XX' ? 'finishing' : 'over'
    const done: Established = establish(
      {
        role: 'initiator',
        version: VERSION,
        pattern,
        purpose: init.purpose,
        ownKey: init.identity.publicKey,
        peerKey,
        peerStatic: new Uint8Array(noise.remoteStatic ?? NOTHING),
        ownFeatures: init.features,
        peerFeatures: payload.features,
        localIndex: index,
        remoteIndex: payload.index,
      },
      noise.split(),
    )
    return { send, done }
  }

  #giveUp(): Step {
    const code = this.#lastRefusal ?? 'NZ_HANDSHAKE_TIMEOUT'
    const hadSession = this.#state === 'finishing'
    this.#state = 'over'
    return hadSession ? QUIET : { send: [], failed: code }
  }
}

interface PeerPayload {
  readonly index: number
  readonly features: readonly string[]
}

function patternsFor({ ticket, expectedPeer, pinnedStatic }: InitiatorInit): PatternName[] {
  const known: PatternName[] = []
  if (ticket !== undefined && expectedPeer !== undefined) known.push('IKpsk1')
  if (pinnedStatic !== undefined && expectedPeer !== undefined) known.push('IK')
  return [...known, 'XX']
}
