/** The trust core on a simulated node: replica, exchange and disk, driven as modules/trust drives them. */
import { effectiveTrust } from '../../trust/effective.ts'
import { TrustExchange } from '../../trust/exchange.ts'
import { LatestTime } from '../../trust/latest-time.ts'
import { Standpoint } from '../../trust/standpoint.ts'
import type { Timer } from '../../../kernel/index.ts'
import type { Asking } from '../../trust/exchange.ts'
import type { Change } from '../../trust/issuer-log.ts'
import type { Receipt, ReplicaOptions, TrustReplica } from '../../trust/replica.ts'
import type { Key, Statement, TrustUpdate, Verify } from '../../trust/update.ts'
import type { Write } from '../disk.ts'
import type { Host, Process } from '../part.ts'

const REQUEST = 1
const ANSWER = 2
const REFUSAL = 3
const HEADER_BYTES = 5
/** As the module waits. */
const REQUEST_TIMEOUT_MS = 30_000
/** Least level of a peer that may replicate (NZ-TRUST-01 §7). */
const REPLICATE_LEVEL = 1
/** How long the policy's word on a peer is good. */
const POLICY_MS = 1_000

/** Sees what happens inside. */
export interface TrustObserver {
  signed(node: number, update: TrustUpdate): void
  received(node: number, receipts: readonly Receipt[]): void
  /** Durable at the node from now on. */
  kept(node: number, added: readonly TrustUpdate[]): void
}

export interface TrustNodeInit {
  readonly host: Host
  readonly keys: readonly Key[]
  readonly verify: Verify
  readonly createReplica?: (options: ReplicaOptions) => TrustReplica
  readonly observer: TrustObserver
}

export class TrustNode implements Process {
  readonly standpoint: Standpoint
  readonly #init: TrustNodeInit
  readonly #exchange: TrustExchange
  readonly #timeouts = new Map<number, Timer>()
  readonly #policy = new Map<string, { readonly untilMs: number; readonly isAllowed: boolean }>()
  #unwritten: Write[] = []
  #isIssuing = false
  #toIssue: Statement[] = []
  #timer: Timer | null = null

  constructor(init: TrustNodeInit) {
    const { host, verify, createReplica } = init
    this.#init = init
    const time = new LatestTime(0)
    const nowS = (): number => time.at(Math.floor(host.clock.nowMs() / 1_000))
    const self = host.identity.key
    this.standpoint = new Standpoint({ self, verify, nowS, ...(createReplica === undefined ? {} : { createReplica }) })
    for (const bytes of host.disk.read().values()) this.standpoint.restore(bytes)
    this.#exchange = new TrustExchange({
      standpoint: this.standpoint,
      clock: host.clock,
      random: host.random,
      may: (peer) => this.#may(peer),
    })
  }

  connected(peer: number): void {
    this.#drive(() => this.#exchange.connected(String(peer)))
  }

  disconnected(peer: number): void {
    this.#drive(() => this.#exchange.disconnected(String(peer)))
  }

  /** Statements follow one another: the next is signed when the one before is durable. */
  issue(statement: Statement): void {
    this.#toIssue.push(statement)
    this.#issueNext()
  }

  receive(from: number, bytes: Uint8Array): void {
    const id = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).readUInt32BE(1)
    const payload = bytes.subarray(HEADER_BYTES)
    if (bytes[0] === REQUEST) this.#answer(from, id, payload)
    if (bytes[0] === ANSWER) this.#answered(id, from, payload)
    if (bytes[0] === REFUSAL) this.#failed(id)
  }

  #may(peer: string): boolean {
    const { keys, host } = this.#init
    const nowMs = host.clock.monotonicMs()
    const known = this.#policy.get(peer)
    if (known !== undefined && known.untilMs > nowMs) return known.isAllowed
    const { replica, self } = this.standpoint
    const { level, because } = effectiveTrust(replica, self, keys[Number(peer)] ?? '', host.clock.nowMs() / 1_000)
    const isAllowed = because !== 'revoked' && level >= REPLICATE_LEVEL
    this.#policy.set(peer, { untilMs: nowMs + POLICY_MS, isAllowed })
    return isAllowed
  }

  #issueNext(): void {
    const statement = this.#toIssue[0]
    if (statement === undefined || this.#isIssuing || this.standpoint.ownLog !== 'ready') return
    this.#toIssue.shift()
    this.#isIssuing = true
    const { host, observer } = this.#init
    const update = this.standpoint.compose(statement, (purpose, message) => host.identity.sign(purpose, message))
    observer.signed(host.node, update)
    // What the disk refuses was never told to anybody: the next statement takes its place.
    host.disk.write([writeOf(update)], (isKept) => {
      this.#isIssuing = false
      if (isKept) {
        this.standpoint.restore(update.bytes)
        observer.kept(host.node, [update])
        this.#drive(() => this.#exchange.announce(update, null))
      }
      this.#issueNext()
    })
  }

  #drive(work?: () => void): void {
    const { clock } = this.#init.host
    work?.()
    for (const asking of this.#exchange.poll()) this.#ask(asking)
    this.#timer?.cancel()
    const { wakeAtMs } = this.#exchange
    if (wakeAtMs !== Infinity) this.#timer = clock.setTimer(wakeAtMs - clock.monotonicMs(), () => this.#drive())
    this.#issueNext()
  }

  #ask({ id, peer, payload }: Asking): void {
    const { host } = this.#init
    this.#timeouts.set(
      id,
      host.clock.setTimer(REQUEST_TIMEOUT_MS, () => this.#failed(id)),
    )
    host.send(Number(peer), message(REQUEST, id, payload))
  }

  #answered(id: number, from: number, payload: Uint8Array): void {
    const progress = this.#timeouts.has(id) ? this.#exchange.answered(id, payload) : null
    if (progress === null) return
    this.#settled(id)
    this.#keep(progress.receipts, (isKept) => {
      if (!isKept) this.#drive(() => this.#exchange.failed(id))
      else if (progress.state === 'taken') this.#drive(() => void this.#exchange.proceed(id))
      else this.#drive(() => this.#exchange.taken(progress.receipts, String(from)))
    })
  }

  #failed(id: number): void {
    if (!this.#timeouts.has(id)) return
    this.#settled(id)
    this.#drive(() => this.#exchange.failed(id))
  }

  #settled(id: number): void {
    this.#timeouts.get(id)?.cancel()
    this.#timeouts.delete(id)
  }

  #answer(from: number, id: number, payload: Uint8Array): void {
    const { host } = this.#init
    const answered = this.#exchange.answer(String(from), payload)
    if (answered.code !== null) {
      host.send(from, message(REFUSAL, id, new Uint8Array()))
      return
    }
    this.#keep(answered.receipts, (isKept) => {
      if (isKept) this.#drive(() => this.#exchange.taken(answered.receipts, String(from)))
      host.send(from, message(isKept ? ANSWER : REFUSAL, id, isKept ? answered.payload : new Uint8Array()))
    })
  }

  /** What the disk refuses goes before the next changes, as in modules/trust/update-store.ts. */
  #keep(receipts: readonly Receipt[], done: (isKept: boolean) => void): void {
    const { host, observer } = this.#init
    observer.received(host.node, receipts)
    const writes = [...this.#unwritten, ...receipts.flatMap((receipt) => writesOf(receipt))]
    if (writes.length === 0) {
      done(true)
      return
    }
    this.#unwritten = []
    host.disk.write(writes, (isKept) => {
      if (isKept) for (const { added } of receipts) observer.kept(host.node, added)
      else {
        this.#unwritten = [...writes, ...this.#unwritten]
        this.#exchange.notKept(receipts)
      }
      done(isKept)
    })
  }
}

function writesOf({ added, removed }: Pick<Change, 'added' | 'removed'>): readonly Write[] {
  return [...removed.map((update) => ({ key: keyOfUpdate(update), value: null })), ...added.map(writeOf)]
}

function writeOf(update: TrustUpdate): Write {
  return { key: keyOfUpdate(update), value: update.bytes }
}

/** In order of issuer and sequence, so that a chain is read in its order. */
function keyOfUpdate({ issuer, sequence, id }: TrustUpdate): string {
  return `${issuer}/${String(sequence).padStart(13, '0')}/${id.slice(0, 16)}`
}

/** A request of the trust part as it travels, for liars too. */
export function requestMessage(id: number, payload: Uint8Array): Uint8Array {
  return message(REQUEST, id, payload)
}

export function isRequest(bytes: Uint8Array): boolean {
  return bytes[0] === REQUEST
}

function message(kind: number, id: number, payload: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(HEADER_BYTES + payload.length)
  bytes.writeUInt8(kind, 0)
  bytes.writeUInt32BE(id, 1)
  bytes.set(payload, HEADER_BYTES)
  return bytes
}
