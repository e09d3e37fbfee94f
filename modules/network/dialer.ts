/** Dials the addresses of a peer, each by itself, so that each leaves its own entry in the ledger. */
import { multiaddr } from '@multiformats/multiaddr'
import { relayOf, transportOf, withPeerId } from './address.ts'
import { asksRelay, codeOf, stageOf } from './dial-outcome.ts'
import { networkErrors } from './service.ts'
import { ATTEMPT_DELAY_MS, staggered } from './staggered.ts'
import type { Connection } from '@libp2p/interface'
import type { Clock, Timer } from '../../kernel/index.ts'
import type { AttemptLedger } from './attempt-ledger.ts'
import type { DialStage } from './dial-outcome.ts'
import type { PortOptions } from './reach/listening-port.ts'
import type { Swarm } from './transport-dials.ts'

export interface DialerServices {
  readonly swarm: Pick<Swarm, 'services'>
  readonly ledger: AttemptLedger
  readonly clock: Clock
  /** Addresses for which this is true are not tried. */
  readonly isBlocked: (address: string) => boolean
}

export interface DialerOptions {
  /** For one address, from the first packet to the open socket. */
  readonly dialTimeoutMs: number
  /** From then on, to the secure connection: whoever answers slowly answers. */
  readonly handshakeTimeoutMs: number
  readonly hasClusterSecret: boolean
}

export interface DialChoice extends PortOptions {
  /** Between the beginnings of two attempts. */
  readonly delayMs?: number
  /** In place of `dialTimeoutMs`; the handshake has its own time. */
  readonly timeoutMs?: number
  /** Whether the peer only wants to know if it can be dialled: no attempt to reach it, and not in the ledger. */
  readonly isProbe?: boolean
  /** Whether the peer dials at the same time. */
  readonly isPunch?: boolean
}

export class Dialer {
  readonly #services: DialerServices
  readonly #options: DialerOptions

  constructor(services: DialerServices, options: DialerOptions) {
    this.#services = services
    this.#options = options
  }

  /**
   * The first connection that comes about: addresses are tried in the order given, the next when one has failed or has
   * taken ATTEMPT_DELAY_MS; the others are given up then.
   *
   * @throws NZ_NETWORK_UNREACHABLE with the attempts of this call in `data.attempts`
   */
  async dial(
    peerId: string,
    addresses: readonly string[],
    signal: AbortSignal,
    choice: DialChoice = {},
  ): Promise<Connection> {
    const { ledger, clock } = this.#services
    const earlier = ledger.of(peerId).at(-1)
    const connection = await staggered(
      addresses.map((address) => async (stop) => await this.#try(peerId, address, stop, choice)),
      {
        clock,
        delayMs: choice.delayMs ?? ATTEMPT_DELAY_MS,
        signal,
        discard: (late) => late.abort(new Error('another address was faster')),
      },
    )
    if (connection !== null) return connection
    const attempts = ledger.of(peerId)
    const fresh = attempts.slice(earlier === undefined ? 0 : attempts.indexOf(earlier) + 1)
    throw networkErrors.NZ_NETWORK_UNREACHABLE({
      why: addresses.length === 0 ? 'no address of the peer is known' : reasonsOf(fresh.map(({ code }) => code)),
      data: { peerId, attempts: fresh },
    })
  }

  /** `null` when it failed, why is in the ledger; also when it was given up, which is no attempt to tell of. */
  async #try(
    peerId: string,
    address: string,
    signal: AbortSignal,
    {
      timeoutMs = this.#options.dialTimeoutMs,
      delayMs: _delayMs,
      isPunch = false,
      isProbe = false,
      ...port
    }: DialChoice,
  ): Promise<Connection | null> {
    const { swarm, ledger, clock, isBlocked } = this.#services
    const { handshakeTimeoutMs, hasClusterSecret } = this.#options
    const startedMs = clock.monotonicMs()
    let isBeforeRelay = relayOf(address) !== null
    let stage: DialStage = 'resolve'
    const record = (code: string | null): void => {
      if (isProbe) return
      ledger.record(peerId, {
        atMs: clock.nowMs(),
        address,
        transport: transportOf(address),
        stage,
        durationMs: Math.round((clock.monotonicMs() - startedMs) * 100) / 100,
        code,
        isPunch,
      })
    }
    if (isBlocked(address)) {
      record('NZ_NETWORK_BLOCKED')
      return null
    }
    using limit = new StagedLimit(clock, timeoutMs, signal)
    try {
      const connection = await swarm.services.dials.dial(multiaddr(withPeerId(address, peerId)), {
        ...port,
        signal: limit.signal,
        onProgress({ type }) {
          stage = stageOf(type) ?? stage
          if (stage === 'secure') limit.restart(handshakeTimeoutMs)
          if (asksRelay(type)) isBeforeRelay = false
        },
      })
      stage = 'open'
      record(null)
      return connection
    } catch (error) {
      if (signal.aborted) return null
      record(codeOf({ error, stage, isOverTime: limit.isOver, hasClusterSecret, isBeforeRelay }))
      return null
    }
  }
}

/** A deadline that begins anew when the next stage is reached. */
class StagedLimit implements Disposable {
  readonly signal: AbortSignal
  readonly #clock: Clock
  readonly #over = new AbortController()
  #timer: Timer

  constructor(clock: Clock, timeoutMs: number, signal: AbortSignal) {
    this.#clock = clock
    this.#timer = this.#begin(timeoutMs)
    this.signal = AbortSignal.any([this.#over.signal, signal])
  }

  get isOver(): boolean {
    return this.#over.signal.aborted
  }

  restart(timeoutMs: number): void {
    this.#timer.cancel()
    this.#timer = this.#begin(timeoutMs)
  }

  [Symbol.dispose](): void {
    this.#timer.cancel()
  }

  #begin(timeoutMs: number): Timer {
    const expire = (): void => this.#over.abort(new DOMException('the operation timed out', 'TimeoutError'))
    return this.#clock.setTimer(timeoutMs, expire, { unref: true })
  }
}

function reasonsOf(codes: readonly (string | null)[]): string {
  return `tried ${codes.length}: ${[...new Set(codes)].join(', ')}`
}
