/** A neighbour that says whatever the test wants, over a link that is in order. */
import { seededRandom } from '../../kernel/index.ts'
import { Link } from '../../protocols/routing/link.ts'
import { encodeHello } from '../../protocols/routing/announcement.ts'
import { messageTypes } from '../../protocols/routing/link-message.ts'
import { Router } from '../../protocols/routing/router.ts'
import { signAs, verifyFake } from './routing.ts'
import type { MessageType } from '../../protocols/routing/link-message.ts'
import type { Effect, RouterInit } from '../../protocols/routing/router.ts'
import type { Key } from '../../protocols/routing/signing.ts'

export const WALL_MS = 1_700_000_000_000

/** A router alone with liars. */
export class Victim {
  readonly router: Router
  readonly key: Key
  readonly facts: Effect[] = []
  readonly #liars = new Map<Key, Liar>()
  nowMs = 0

  constructor(key: Key, init: Partial<RouterInit> = {}) {
    this.key = key
    this.router = new Router({
      self: key,
      random: seededRandom(7),
      sign: signAs(key),
      verify: verifyFake,
      policy: { mayRelayFor: () => true, mayRouteThrough: () => true, mayReachHere: () => true },
      wallClockMs: () => WALL_MS + this.nowMs,
      relayBytesPerSecond: 1_000_000,
      ...init,
    })
  }

  /** A liar at an open link that is heard well. */
  meet(key: Key): Liar {
    const liar = new Liar(key, this)
    this.#liars.set(key, liar)
    this.run(this.router.neighbourUp(key, this.nowMs))
    liar.say(messageTypes.hello, encodeHello({ sequence: 1, stampMs: 0, heard: 1, expected: 1, echo: null }))
    return liar
  }

  run(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'send') this.#liars.get(effect.to)?.receive(effect.message)
      else this.facts.push(effect)
    }
  }

  /** Codes of messages that were refused; they are not given again. */
  takeRefused(): readonly string[] {
    const codes = this.facts.flatMap((fact) => (fact.kind === 'refused' ? [fact.code] : []))
    this.facts.length = 0
    return codes
  }
}

export class Liar {
  readonly key: Key
  readonly #victim: Victim
  readonly #link: Link
  /** What the victim said, unsealed. */
  readonly heard: Array<{ readonly type: MessageType; readonly body: Uint8Array }> = []

  constructor(key: Key, victim: Victim) {
    this.key = key
    this.#victim = victim
    const init = { self: key, neighbour: victim.key, random: seededRandom(8), sign: signAs(key), verify: verifyFake }
    this.#link = new Link(init)
  }

  receive(message: Uint8Array): void {
    if (message[0] !== messageTypes.open) {
      const unsealed = this.#link.unseal(message)
      if (unsealed !== null) this.heard.push(unsealed)
      return
    }
    for (const reply of this.#link.receiveOpen(message)?.replies ?? []) this.sayRaw(reply)
  }

  /** The sealed message, once it was said. */
  say(type: MessageType, body: Uint8Array): Uint8Array {
    const sealed = this.#link.seal(type, body)
    this.sayRaw(sealed)
    return sealed
  }

  sayRaw(message: Uint8Array): void {
    const { router, nowMs } = this.#victim
    this.#victim.run(router.receive(this.key, message, nowMs))
  }
}
