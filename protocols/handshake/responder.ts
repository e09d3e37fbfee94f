/** The called side of a handshake (NZ-HANDSHAKE-01 §5.2). */
import { isNzError } from '../../kernel/index.ts'
import { Handshake } from '../noise/handshake.ts'
import { decodeFrame, frameType, HEADER_BYTES } from '../wire/frame.ts'
import {
  assertInit,
  checkPayload,
  ephemeralKey,
  isSame,
  newIndexOf,
  noisePatterns,
  ownPayload,
  VERSION,
} from './agreement.ts'
import { establish } from './established.ts'
import { HANDSHAKE_TIMEOUT_MS, MAX_ANSWERED } from './limits.ts'
import {
  decodeHello,
  decodePayload,
  decodeReply,
  encodePayload,
  encodeRefuse,
  encodeReply,
  NOTHING,
  prologueOf,
} from './messages.ts'
import { QUIET } from './running.ts'
import { Tries } from './tries.ts'
import type { HandshakeCode } from './errors.ts'
import type { ResponderInit, RunningHandshake, Step } from './running.ts'
import type { Hello, PatternName, Payload } from './messages.ts'
import type { Ticket } from './tickets.ts'

/** A HELLO that was answered. */
interface Answered {
  readonly hello: Uint8Array
  readonly index: number
  readonly answer: Uint8Array
  /** With XX the third message is awaited. */
  readonly noise: Handshake | null
}

export class Responder implements RunningHandshake {
  readonly #init: ResponderInit
  readonly #deadlineMs: number
  readonly #index: number
  readonly #tries: Tries
  /** Somebody on the way may send HELLOs of their own: the true one is not given up for them. */
  readonly #answered: Answered[] = []
  #isOver = false
  #isDone = false

  constructor(init: ResponderInit) {
    assertInit(init)
    this.#init = init
    this.#deadlineMs = init.nowMs + HANDSHAKE_TIMEOUT_MS
    this.#index = newIndexOf(init)
    this.#tries = new Tries(init.nowMs)
  }

  get localIndex(): number {
    return this.#index
  }

  get dueAtMs(): number | null {
    return this.#isOver || this.#isDone ? null : this.#deadlineMs
  }

  due(nowMs: number): Step {
    if (this.dueAtMs === null || nowMs < this.#deadlineMs) return QUIET
    this.#isOver = true
    return { send: [], failed: 'NZ_HANDSHAKE_TIMEOUT' }
  }

  confirm(): void {
    this.#isDone = true
    this.#isOver = true
  }

  receive(bytes: Uint8Array, nowMs: number): Step {
    const frame = decodeFrame(bytes)
    if (frame === 'NZ_WIRE_VERSION') return otherVersion(bytes)
    if (typeof frame === 'string') return { send: [], refused: 'NZ_HANDSHAKE_MALFORMED' }
    if (frame.type === frameType.hello) return this.#onHello(bytes, frame.body, nowMs)
    if (frame.type !== frameType.finish) return { send: [], refused: 'NZ_HANDSHAKE_MALFORMED' }
    const { to, rest } = decodeReply(frame.body)
    return to === this.#index ? this.#onFinish(rest, nowMs) : QUIET
  }

  #onHello(bytes: Uint8Array, body: Uint8Array, nowMs: number): Step {
    if (this.#isOver) return QUIET
    const known = this.#answered.find(({ hello }) => isSame(hello, bytes))
    if (known !== undefined) return { send: [known.answer], ...(this.#isDone ? { isRepeated: true as const } : {}) }
    // Until a packet of the channel came, the initiator may have gone on to its next pattern.
    if (!this.#tries.take(nowMs)) return { send: [], refused: 'NZ_HANDSHAKE_UNAUTHENTIC' }
    const hello = decodeHello(body)
    if (hello === null) return { send: [], refused: 'NZ_HANDSHAKE_MALFORMED' }
    const ticket = this.#ticketOf(hello, nowMs)
    if (hello.pattern === 'IKpsk1' && ticket === null) return refusal(hello, 'NZ_HANDSHAKE_TICKET')
    const noise = this.#noiseFor(hello, ticket)
    const opened = readOr(noise, hello.message)
    if (opened === null) return refusal(hello, 'NZ_HANDSHAKE_KEY')
    if (hello.pattern !== 'XX') return this.#answerIk(bytes, hello, { noise, opened, ticket })
    if (opened.byteLength > 0) return { send: [], refused: 'NZ_HANDSHAKE_MALFORMED' }
    const answer = this.#answerTo(hello, noise, null)
    if (answer === null) return refusal(hello, 'NZ_HANDSHAKE_KEY')
    this.#isDone = false
    this.#keep({ hello: bytes.slice(), index: hello.index, answer, noise })
    return { send: [answer] }
  }

  #answerIk(
    bytes: Uint8Array,
    hello: Hello,
    { noise, opened, ticket }: { noise: Handshake; opened: Uint8Array; ticket: Ticket | null },
  ): Step {
    const payload = decodePayload(opened)
    if (payload === null || payload.index !== hello.index) return refusal(hello, 'NZ_HANDSHAKE_MALFORMED')
    const checked = this.#check(noise, payload, ticket)
    if ('code' in checked) return refusal(hello, checked.code)
    if (ticket !== null) this.#init.tickets?.redeem(hello.ticketId)
    const answer = this.#answerTo(hello, noise, checked.peerKey)
    if (answer === null) return refusal(hello, 'NZ_HANDSHAKE_KEY')
    this.#keep({ hello: bytes.slice(), index: hello.index, answer, noise: null })
    return this.#establish([answer], hello.pattern, { noise, payload, peerKey: checked.peerKey })
  }

  #onFinish(message: Uint8Array, nowMs: number): Step {
    if (this.#isDone) return { send: [], isRepeated: true }
    if (this.#isOver) return QUIET
    for (const { noise, index } of this.#answered) {
      if (noise === null) continue
      if (!this.#tries.take(nowMs)) break
      const fork = noise.fork()
      const opened = readOr(fork, message)
      if (opened !== null) return this.#finish(fork, opened, index)
    }
    return this.#answered.length === 0 ? QUIET : { send: [], refused: 'NZ_HANDSHAKE_UNAUTHENTIC' }
  }

  #finish(noise: Handshake, opened: Uint8Array, index: number): Step {
    const payload = decodePayload(opened)
    if (payload === null || payload.index !== index) return this.#end(index, 'NZ_HANDSHAKE_MALFORMED')
    const checked = this.#check(noise, payload, null)
    if ('code' in checked) return this.#end(index, checked.code)
    return this.#establish([], 'XX', { noise, payload, peerKey: checked.peerKey })
  }

  /** After a FINISH that was authentic: no other message can follow from the same ephemeral keys. */
  #end(index: number, code: HandshakeCode): Step {
    this.#isOver = true
    return { send: [encodeRefuse(index, code)], failed: code }
  }

  #keep(answered: Answered): void {
    if (this.#answered.length >= MAX_ANSWERED) this.#answered.pop()
    this.#answered.push(answered)
  }

  #check(
    noise: Handshake,
    payload: Payload,
    resumed: Ticket | null,
  ): { readonly peerKey: Uint8Array } | { readonly code: HandshakeCode } {
    const checked = checkPayload(this.#init, payload, { remoteStatic: noise.remoteStatic ?? NOTHING, resumed })
    if ('code' in checked) return checked
    const isAllowed = this.#init.isAllowed?.(checked.peerKey) ?? true
    return isAllowed ? checked : { code: 'NZ_HANDSHAKE_NOT_ALLOWED' }
  }

  #answerTo(hello: Hello, noise: Handshake, peer: Uint8Array | null): Uint8Array | null {
    const isResumed = hello.pattern === 'IKpsk1'
    const payload = encodePayload(ownPayload(this.#init, { index: this.#index, peer, isResumed }))
    try {
      return encodeReply('answer', hello.index, noise.writeMessage(payload))
    } catch (error) {
      // A key of low order: it gives no secret.
      if (isNzError(error, 'NZ_NOISE_KEY_REFUSED')) return null
      throw error
    }
  }

  #establish(
    send: readonly Uint8Array[],
    pattern: PatternName,
    { noise, payload, peerKey }: { noise: Handshake; payload: Payload; peerKey: Uint8Array },
  ): Step {
    const init = this.#init
    this.#isDone = true
    const done = establish(
      {
        role: 'responder',
        version: VERSION,
        pattern,
        purpose: init.purpose,
        ownKey: init.identity.publicKey,
        peerKey,
        peerStatic: new Uint8Array(noise.remoteStatic ?? NOTHING),
        ownFeatures: init.features,
        peerFeatures: payload.features,
        localIndex: this.#index,
        remoteIndex: payload.index,
      },
      noise.split(),
    )
    return { send, done }
  }

  #ticketOf({ pattern, ticketId }: Hello, nowMs: number): Ticket | null {
    if (pattern !== 'IKpsk1') return null
    return this.#init.tickets?.granted(ticketId, this.#init.purpose, nowMs) ?? null
  }

  #noiseFor(hello: Hello, ticket: Ticket | null): Handshake {
    return new Handshake({
      pattern: noisePatterns[hello.pattern],
      role: 'responder',
      prologue: prologueOf(VERSION, hello.pattern, hello.index, hello.ticketId),
      staticKey: this.#init.identity.staticKey,
      ephemeralKey: ephemeralKey(this.#init.random),
      ...(ticket === null ? {} : { preSharedKeys: [ticket.preSharedKey] }),
    })
  }
}

function readOr(noise: Handshake, message: Uint8Array): Uint8Array | null {
  try {
    return noise.readMessage(message)
  } catch (error) {
    if (isNzError(error)) return null
    throw error
  }
}

/** The type of a frame, and pattern and index of a HELLO, stand where they are in every version (§10). */
function otherVersion(bytes: Uint8Array): Step {
  const refused = 'NZ_HANDSHAKE_VERSION'
  const isHello = bytes[1] === frameType.hello && bytes.byteLength >= HEADER_BYTES + 5
  return isHello ? refusal({ index: decodeReply(bytes.subarray(HEADER_BYTES + 1)).to }, refused) : { send: [], refused }
}

function refusal({ index }: Pick<Hello, 'index'>, code: HandshakeCode): Step {
  return { send: [encodeRefuse(index, code)], refused: code }
}
