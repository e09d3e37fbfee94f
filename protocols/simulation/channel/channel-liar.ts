/** A node that passes frames on as it should and, beside that, again: later, turned round, packets changed or in other calls. */
import { decodeFrame, frameType } from '../../wire/frame.ts'
import { decodeAddressed, encodeAddressed } from './call.ts'
import type { Host, Process } from '../part.ts'

const ATTACK_EVERY_MS = 100
const MAX_CAPTURED = 256
/** Share of frames that are passed on twice at once. */
const DOUBLED_SHARE = 0.2
/** Calls that nobody opened. */
const MADE_UP_CALLS = 0x8000_0000

export class ChannelLiar implements Process {
  readonly #host: Host
  readonly #captured: Uint8Array[] = []
  #madeUp = MADE_UP_CALLS

  constructor(host: Host) {
    this.#host = host
    this.#attack()
  }

  connected(): void {}

  disconnected(): void {}

  receive(_: number, bytes: Uint8Array): void {
    const { to } = decodeAddressed(bytes)
    if (to === this.#host.node) return
    this.#host.sendDatagram(to, bytes)
    if (this.#host.random.unit() < DOUBLED_SHARE) this.#host.sendDatagram(to, bytes)
    // Old ones stay by chance: of epochs and calls long over.
    if (this.#captured.length < MAX_CAPTURED) this.#captured.push(bytes)
    else this.#captured[this.#chance(MAX_CAPTURED)] = bytes
  }

  #attack(): void {
    this.#host.clock.setTimer(ATTACK_EVERY_MS, () => {
      const [seen, other] = [this.#pick(), this.#pick()]
      if (seen !== undefined && other !== undefined) this.#replay(seen, other)
      this.#attack()
    })
  }

  #replay(seen: Uint8Array, other: Uint8Array): void {
    const addressed = decodeAddressed(seen)
    const { from, to, frame } = addressed
    this.#host.sendDatagram(to, seen)
    this.#host.sendDatagram(from, encodeAddressed({ ...addressed, from: to, to: from }))
    const decoded = decodeFrame(frame)
    const type = typeof decoded === 'string' ? null : decoded.type
    if (type === frameType.hello) {
      this.#madeUp += 1
      this.#host.sendDatagram(to, encodeAddressed({ ...addressed, call: this.#madeUp }))
    }
    this.#host.sendDatagram(to, encodeAddressed({ ...addressed, frame: this.#damaged(frame) }))
    const elsewhere = decodeAddressed(other)
    this.#host.sendDatagram(elsewhere.to, encodeAddressed({ ...elsewhere, frame }))
  }

  #damaged(frame: Uint8Array): Uint8Array {
    const damaged = Uint8Array.from(frame)
    const at = this.#chance(damaged.length)
    damaged[at] = (damaged[at] ?? 0) ^ (1 << this.#chance(8))
    return damaged
  }

  #pick(): Uint8Array | undefined {
    return this.#captured[this.#chance(this.#captured.length)]
  }

  #chance(below: number): number {
    return Math.floor(this.#host.random.unit() * below)
  }
}
