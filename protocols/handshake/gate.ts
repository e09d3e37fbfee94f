/**
 * Half-open handshakes of a node that answers (NZ-HANDSHAKE-01 §8): few in all, few of one source, and when many are
 * under way none is begun for a source that does not show, by a cookie, that it receives what is sent to it.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { decodeFrame, frameType } from '../wire/frame.ts'
import { COOKIE_BYTES } from './limits.ts'
import { decodeHello, encodeHello, encodeRefuse, encodeRetry, NOTHING } from './messages.ts'
import type { Random } from '../../kernel/index.ts'
import type { HandshakeCode } from './errors.ts'
import type { Hello } from './messages.ts'

/** Handshakes under way at which cookies are asked for, and the most there may be. */
export const COOKIES_FROM = 32
export const MAX_HALF_OPEN = 256
export const MAX_HALF_OPEN_PER_SOURCE = 16
/** A cookie is good for one to two of these. */
export const COOKIE_LIFETIME_MS = 60_000

export type Admission =
  /** Call `release` once the handshake has ended in any way. */
  { readonly release: () => void } | { readonly send: readonly Uint8Array[]; readonly refused: HandshakeCode }

export class HandshakeGate {
  readonly #random: Random
  readonly #ofSource = new Map<string, number>()
  #halfOpen = 0
  #secrets: readonly [present: Uint8Array, before: Uint8Array]
  #renewedAtMs: number

  constructor({ random, nowMs }: { readonly random: Random; readonly nowMs: number }) {
    this.#random = random
    this.#secrets = [random.bytes(32), random.bytes(32)]
    this.#renewedAtMs = nowMs
  }

  get halfOpen(): number {
    return this.#halfOpen
  }

  /** Whether to begin a handshake for this HELLO frame. `source`: whom the path says it is from, at most 256 bytes. */
  admit(source: string, frame: Uint8Array, nowMs: number): Admission {
    const decoded = decodeFrame(frame)
    const isHello = typeof decoded !== 'string' && decoded.type === frameType.hello
    const hello = isHello ? decodeHello(decoded.body) : null
    if (hello === null) return { send: [], refused: 'NZ_HANDSHAKE_MALFORMED' }
    if (this.#halfOpen >= COOKIES_FROM && !this.#hasCookie(source, hello, nowMs)) {
      const retry = encodeRetry(hello.index, this.#cookie(this.#secrets[0], source, hello))
      return { send: [retry], refused: 'NZ_HANDSHAKE_COOKIE' }
    }
    const ofSource = this.#ofSource.get(source) ?? 0
    if (this.#halfOpen >= MAX_HALF_OPEN || ofSource >= MAX_HALF_OPEN_PER_SOURCE) {
      return { send: [encodeRefuse(hello.index, 'NZ_HANDSHAKE_BUSY')], refused: 'NZ_HANDSHAKE_BUSY' }
    }
    this.#halfOpen += 1
    this.#ofSource.set(source, ofSource + 1)
    return { release: this.#releaseOnce(source) }
  }

  #releaseOnce(source: string): () => void {
    let isReleased = false
    return () => {
      if (isReleased) return
      isReleased = true
      this.#halfOpen -= 1
      const left = (this.#ofSource.get(source) ?? 1) - 1
      if (left === 0) this.#ofSource.delete(source)
      else this.#ofSource.set(source, left)
    }
  }

  #hasCookie(source: string, hello: Hello, nowMs: number): boolean {
    this.#renew(nowMs)
    if (hello.cookie.byteLength !== COOKIE_BYTES) return false
    return this.#secrets.some((secret) => timingSafeEqual(this.#cookie(secret, source, hello), hello.cookie))
  }

  #renew(nowMs: number): void {
    const age = nowMs - this.#renewedAtMs
    if (age < COOKIE_LIFETIME_MS) return
    const fresh = this.#random.bytes(32)
    this.#secrets = [fresh, age < 2 * COOKIE_LIFETIME_MS ? this.#secrets[0] : this.#random.bytes(32)]
    this.#renewedAtMs = nowMs
  }

  #cookie(secret: Uint8Array, source: string, hello: Hello): Uint8Array {
    const message = createHash('sha256')
      .update(encodeHello({ ...hello, cookie: NOTHING }))
      .digest()
    const mac = createHmac('sha256', secret).update(message).update(source)
    return mac.digest().subarray(0, COOKIE_BYTES)
  }
}
