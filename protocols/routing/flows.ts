/** Paths in one node: set up, answered, used, ended; as source, relay and destination (NZ-ROUTING-01 §5 to §7). */
import { checkAnswer, createAnswer, passBack, readAnswer } from './answer.ts'
import { decodeClosed, encodeClosed } from './closed.ts'
import { FlowTable } from './flow-table.ts'
import {
  CLOCK_TOLERANCE_MS,
  FLOW_IDLE_MS,
  MAX_HOPS,
  MAX_NEIGHBOURS,
  MAX_PAYLOAD_BYTES,
  MAX_RENEWALS,
  MAX_SEQUENCE_LEAD_MS,
  MAX_SOURCES,
  RENEWAL_LEAD_MS,
  SETUP_TIMEOUT_MS,
} from './limits.ts'
import { messageTypes } from './link-message.ts'
import { Rates } from './rate.ts'
import { checkSetup, createSetup, isChain, passOn, readSetup } from './setup.ts'
import { bytesOf, FLOW_BYTES, hexOf } from './signing.ts'
import { SourceSequences } from './source-sequences.ts'
import type { RouteCode } from './errors.ts'
import type { Flow } from './flow-table.ts'
import type { MessageType } from './link-message.ts'
import type { Effect, Opening, RouterInit } from './router.ts'
import type { Setup } from './setup.ts'
import type { FlowId, Key } from './signing.ts'

/** Setups whose signatures are verified, of a neighbour: nobody can use up the share of a source in its name. */
export const NEIGHBOUR_SETUP_RATE = { perSecond: 100, burst: 200, maxKeys: MAX_NEIGHBOURS }
/** Setups that are taken, of a source. */
const SOURCE_SETUP_RATE = { perSecond: 20, burst: 60, maxKeys: MAX_SOURCES }

export interface FlowsInit extends RouterInit {
  readonly nextHops: (destination: Key, avoid: ReadonlySet<Key>) => readonly Key[]
  readonly isLinked: (neighbour: Key) => boolean
  readonly send: (to: Key, type: MessageType, parts: readonly Uint8Array[], isControl: boolean) => void
  readonly emit: (effect: Effect) => void
}

export class Flows {
  readonly #init: FlowsInit
  readonly #flows = new FlowTable()
  readonly #sequences: SourceSequences
  readonly #verified = new Rates(NEIGHBOUR_SETUP_RATE)
  readonly #taken = new Rates(SOURCE_SETUP_RATE)
  readonly #relayed: Rates
  #sequence: number

  constructor(init: FlowsInit) {
    this.#init = init
    const nowMs = Math.max(0, Math.floor(init.wallClockMs()))
    this.#sequence = nowMs
    this.#sequences = new SourceSequences({ floor: Math.max(0, nowMs - CLOCK_TOLERANCE_MS) })
    const perSecond = init.relayBytesPerSecond
    this.#relayed = new Rates({ perSecond, burst: perSecond, maxKeys: MAX_SOURCES })
  }

  get count(): number {
    return this.#flows.size
  }

  get relayedCount(): number {
    return this.#flows.all().filter(({ upstream, downstream }) => upstream !== null && downstream !== null).length
  }

  open(
    destination: Key,
    nowMs: number,
    { avoid, ttl }: { readonly avoid: ReadonlySet<Key>; readonly ttl: number },
  ): Opening {
    const { self, random, sign, nextHops } = this.#init
    const next = nextHops(destination, avoid)[0] ?? nextHops(destination, new Set())[0]
    if (next === undefined) return { flow: null, code: 'NZ_ROUTE_NONE' }
    if (!this.#flows.hasRoom(self)) return { flow: null, code: 'NZ_ROUTE_LIMITED' }
    this.#sequence = Math.max(this.#sequence + 1, Math.floor(this.#init.wallClockMs()))
    const id = hexOf(random.bytes(FLOW_BYTES))
    const body = { source: self, destination, flow: id, sequence: this.#sequence }
    const setup = createSetup(body, { ttl: Math.min(ttl, MAX_HOPS), next }, sign)
    this.#add(setup, { upstream: null, downstream: next }, nowMs)
    this.#init.send(next, messageTypes.setup, [setup.bytes], true)
    return { flow: id, code: null }
  }

  receiveSetup(from: Key, bytes: Uint8Array, nowMs: number): void {
    const setup = readSetup(bytes)
    if (typeof setup === 'string') return this.#refuse(from, setup)
    const code = this.#whyNot(from, setup, nowMs)
    if (code !== null) return this.#turnDown(from, setup, code)
    if (setup.destination === this.#init.self) this.#accept(from, setup, nowMs)
    else this.#relay(from, setup, nowMs)
  }

  /** `false` for what is no answer. */
  receiveAnswer(from: Key, bytes: Uint8Array, nowMs: number): boolean {
    const answer = readAnswer(bytes)
    if (answer === null) return false
    const flow = this.#flows.get(answer.flow)
    if (flow === undefined || flow.isOpen || flow.downstream !== from) return true
    const { self, sign, verify, emit, send } = this.#init
    const waitedUs = (nowMs - flow.startedAtMs) * 1_000
    flow.movedAtMs = nowMs
    if (flow.upstream !== null) {
      if (answer.hops.length >= MAX_HOPS) return false
      flow.isOpen = true
      send(flow.upstream, messageTypes.answer, [passBack(bytes, { self, waitedUs }, sign)], true)
      return true
    }
    const hops = checkAnswer(flow.setup, answer, { roundTripUs: waitedUs, verify })
    if (hops === null || hops.some(({ isSetupSigned, isAnswerSigned }) => !isSetupSigned || !isAnswerSigned)) {
      this.#end(flow, 'NZ_ROUTE_FORGED', { by: self, hops, tell: [from] })
      return true
    }
    flow.isOpen = true
    emit({ kind: 'flowOpened', flow: flow.id, peer: flow.destination, nextHop: from, hops, answer: bytes })
    return true
  }

  /** `false` for what is no such message. */
  receiveClosed(from: Key, bytes: Uint8Array, nowMs: number): boolean {
    const closed = decodeClosed(bytes)
    if (closed === null) return false
    const flow = this.#flows.get(closed.flow)
    if (flow === undefined || (flow.upstream !== from && flow.downstream !== from)) return true
    if (closed.code === 'NZ_ROUTE_REPLAYED' && this.#renew(flow, closed.latest, nowMs)) return true
    const other = flow.upstream === from ? flow.downstream : flow.upstream
    this.#end(flow, closed.code, { by: closed.by, latest: closed.latest, tell: other === null ? [] : [other] })
    return true
  }

  receivePacket(from: Key, body: Uint8Array, nowMs: number): void {
    if (body.length < FLOW_BYTES || body.length > FLOW_BYTES + MAX_PAYLOAD_BYTES) return
    const id = hexOf(body.subarray(0, FLOW_BYTES))
    const flow = this.#flows.get(id)
    if (flow === undefined || !flow.isOpen) return
    const isForward = flow.upstream === from
    if (!isForward && flow.downstream !== from) return
    const next = isForward ? flow.downstream : flow.upstream
    flow.movedAtMs = nowMs
    if (next === null) {
      const peer = isForward ? flow.source : flow.destination
      this.#init.emit({ kind: 'packet', flow: id, peer, payload: body.subarray(FLOW_BYTES) })
    } else if (this.#relayed.take(flow.source, nowMs, body.length)) {
      this.#init.send(next, messageTypes.packet, [body], false)
    }
  }

  sendPacket(id: FlowId, payload: Uint8Array, nowMs: number): void {
    const flow = this.#flows.get(id)
    if (flow === undefined || !flow.isOpen || payload.length > MAX_PAYLOAD_BYTES) return
    const next = flow.upstream ?? flow.downstream
    if (next === null || (flow.upstream !== null && flow.downstream !== null)) return
    flow.movedAtMs = nowMs
    this.#init.send(next, messageTypes.packet, [bytesOf(id), payload], false)
  }

  close(id: FlowId): void {
    const flow = this.#flows.get(id)
    const next = flow?.upstream ?? flow?.downstream
    if (flow !== undefined && next != null) this.#end(flow, 'NZ_ROUTE_CLOSED', { tell: [next] })
  }

  lostNeighbour(neighbour: Key): void {
    for (const flow of this.#flows.all()) {
      if (flow.upstream !== neighbour && flow.downstream !== neighbour) continue
      const other = flow.upstream === neighbour ? flow.downstream : flow.upstream
      this.#end(flow, 'NZ_ROUTE_BROKEN', { tell: other === null ? [] : [other] })
    }
  }

  tick(nowMs: number): void {
    for (const flow of this.#flows.all()) {
      const isLate = !flow.isOpen && nowMs - flow.startedAtMs > SETUP_TIMEOUT_MS
      if (isLate) this.#end(flow, 'NZ_ROUTE_TIMEOUT', { tell: endsOf(flow) })
      else if (nowMs - flow.movedAtMs > FLOW_IDLE_MS) this.#end(flow, 'NZ_ROUTE_IDLE', { tell: endsOf(flow) })
    }
  }

  recheckPolicy(): void {
    for (const flow of this.#flows.all())
      if (!this.#isAllowed(flow)) this.#end(flow, 'NZ_ROUTE_REFUSED', { tell: endsOf(flow) })
  }

  #isAllowed({ source, destination, upstream, downstream }: Flow): boolean {
    const { policy } = this.#init
    if (upstream === null) return downstream === null || policy.mayRouteThrough(downstream)
    return downstream === null ? policy.mayReachHere(source) : policy.mayRelayFor(source, destination)
  }

  /** Cheap reasons first. What is said of a source before its signature is verified is not held against it. */
  #whyNot(from: Key, setup: Setup, nowMs: number): RouteCode | null {
    const { self, verify, policy } = this.#init
    const { source, destination, sequence, hops } = setup
    if (!isChain(setup, self) || hops.at(-1)?.key !== from) return 'NZ_ROUTE_CHAIN'
    const isHere = destination === self
    if (isHere ? !policy.mayReachHere(source) : !policy.mayRelayFor(source, destination)) return 'NZ_ROUTE_REFUSED'
    if (!this.#sequences.isNew(source, sequence) || this.#flows.get(setup.flow) !== undefined)
      return 'NZ_ROUTE_REPLAYED'
    if (!this.#verified.take(from, nowMs) || !this.#flows.hasRoom(source)) return 'NZ_ROUTE_LIMITED'
    const check = checkSetup(setup, verify)
    if (!check.source || check.hops.includes(false)) return 'NZ_ROUTE_FORGED'
    if (!this.#taken.take(source, nowMs)) return 'NZ_ROUTE_LIMITED'
    this.#sequences.take(source, sequence)
    if (isHere) return null
    return (hops.at(-1)?.ttl ?? 0) < 1 || hops.length >= MAX_HOPS ? 'NZ_ROUTE_TTL' : null
  }

  #accept(from: Key, setup: Setup, nowMs: number): void {
    const flow = this.#add(setup, { upstream: from, downstream: null }, nowMs)
    flow.isOpen = true
    this.#init.send(from, messageTypes.answer, [createAnswer(setup, this.#init.sign)], true)
    this.#init.emit({ kind: 'flowOpened', flow: flow.id, peer: setup.source, nextHop: from, hops: null, answer: null })
  }

  #relay(from: Key, setup: Setup, nowMs: number): void {
    const { self, sign, nextHops, send } = this.#init
    const next = nextHops(setup.destination, new Set(setup.hops.map(({ key }) => key)))[0]
    if (next === undefined) return this.#turnDown(from, setup, 'NZ_ROUTE_NONE')
    const passed = passOn(setup, { self, next }, sign)
    this.#add(passed, { upstream: from, downstream: next }, nowMs)
    send(next, messageTypes.setup, [passed.bytes], true)
  }

  #add(
    setup: Setup,
    { upstream, downstream, renewals = 0 }: Pick<Flow, 'upstream' | 'downstream'> & { readonly renewals?: number },
    nowMs: number,
  ): Flow {
    const { flow: id, source, destination } = setup
    const flow: Flow = {
      id,
      source,
      destination,
      upstream,
      downstream,
      setup,
      startedAtMs: nowMs,
      renewals,
      isOpen: false,
      movedAtMs: nowMs,
    }
    this.#flows.add(flow)
    return flow
  }

  #turnDown(from: Key, { flow, source }: Setup, code: RouteCode): void {
    const latest = code === 'NZ_ROUTE_REPLAYED' ? this.#sequences.latest(source) : 0
    this.#refuse(from, code)
    this.#init.send(from, messageTypes.closed, [encodeClosed({ flow, code, by: this.#init.self, latest })], true)
  }

  #refuse(from: Key, code: RouteCode): void {
    this.#init.emit({ kind: 'refused', from, code })
  }

  #end(
    flow: Flow,
    code: RouteCode,
    {
      by = this.#init.self,
      latest = 0,
      hops = null,
      tell,
    }: {
      readonly by?: Key
      readonly latest?: number
      readonly hops?: Extract<Effect, { kind: 'flowClosed' }>['hops']
      readonly tell: readonly Key[]
    },
  ): void {
    if (!this.#flows.remove(flow)) return
    for (const to of tell)
      if (this.#init.isLinked(to))
        this.#init.send(to, messageTypes.closed, [encodeClosed({ flow: flow.id, code, by, latest })], true)
    if (flow.upstream !== null && flow.downstream !== null) return
    const peer = flow.upstream === null ? flow.destination : flow.source
    this.#init.emit({ kind: 'flowClosed', flow: flow.id, peer, code, by, hops })
  }

  /**
   * A node remembers later sequences of this source than its clock gives: the path is set up again above them, within
   * bounds. Everybody on the way has forgotten the first setup when its end was told.
   */
  #renew(flow: Flow, latest: number, nowMs: number): boolean {
    const { id, downstream, renewals } = flow
    const { sign, send, wallClockMs } = this.#init
    const mostMs = Math.floor(wallClockMs()) + MAX_SEQUENCE_LEAD_MS
    if (flow.upstream !== null || downstream === null || flow.isOpen) return false
    if (latest >= mostMs || renewals >= MAX_RENEWALS) return false
    // Nodes behind the one that refused have clocks of their own: each refusal costs the whole way there and back.
    const leadMs = RENEWAL_LEAD_MS * 4 ** renewals
    this.#sequence = Math.max(this.#sequence + 1, Math.min(latest + leadMs, mostMs))
    const { source, destination, hops } = flow.setup
    const body = { source, destination, flow: id, sequence: this.#sequence }
    const setup = createSetup(body, { ttl: hops[0]?.ttl ?? 0, next: downstream }, sign)
    this.#flows.remove(flow)
    this.#add(setup, { upstream: null, downstream, renewals: renewals + 1 }, nowMs)
    send(downstream, messageTypes.setup, [setup.bytes], true)
    return true
  }
}

function endsOf({ upstream, downstream }: Flow): readonly Key[] {
  return [upstream, downstream].filter((key) => key !== null)
}
