/** What the addon (src/binding.cc) exports, and the shape of what it shares. */

/** Events, five words each: type, session, stream, a, b (src/session.h, `EventType`). */
export const EVENT = {
  data: 0,
  stream: 1,
  end: 2,
  reset: 3,
  mark: 4,
  goAway: 5,
  rtt: 6,
  flushed: 7,
  closed: 8,
  ringSpace: 9,
  busy: 10,
  calm: 11,
  released: 12,
} as const

export const EVENT_WORDS = 5
/** Events of one callback (src/batch.h). */
export const MAX_EVENTS = 4_096

/** Why a connection is over (src/session.h, `Failure`). */
export const FAILURES = [
  'none',
  'ended',
  'io',
  'record-unauthentic',
  'record-malformed',
  'frame-invalid',
  'window-exceeded',
  'flood',
  'exhausted',
  'aborted',
  'broken',
] as const

export type Failure = (typeof FAILURES)[number]

/** The counters of a connection (src/counters.h). */
export const COUNTERS = [
  'receivedBytes',
  'sentBytes',
  'receivedRecords',
  'sentRecords',
  'receivedFrames',
  'sentFrames',
  'receiveCompletions',
  'sendCompletions',
  'windowStalls',
  'droppedBytes',
  'openStreams',
  'rttUs',
  'queuedBytes',
  'receiveWindowBytes',
] as const

export type CounterName = (typeof COUNTERS)[number]

/** Numbers of 64 bits that one connection has. */
export const COUNTER_SLOT_WORDS = 16

/** What an engine shares with JS, and calls. */
export interface AddonAreas {
  readonly commands: ArrayBuffer
  readonly control: ArrayBuffer
  readonly counters: ArrayBuffer
  readonly events: ArrayBuffer
  /** Plaintext lies in `slabs` from `offset` on, for the time of the call, or in `overflow`. */
  readonly onBatch: (eventCount: number, offset: number, overflow: ArrayBuffer | undefined) => void
  readonly keepAliveMs: number
  /** When all move as much within `busyMs`, those with a part in it are busy; who moves less a second, `calmTicks` times, is calm. */
  readonly busyBytes: number
}

export interface AddonStart extends AddonAreas {
  readonly mayUseUring: boolean
  readonly windowBudgetBytes: number
  /** 0: no connection is ever said to be calm. */
  readonly calmTicks: number
}

export interface AddonStartInline extends AddonAreas {
  /** The engine whose window budget it shares. */
  readonly thread: object
  readonly busyMs: number
}

export interface AddonAttach {
  readonly id: number
  /** From `duplicate`; the addon's from the call on, also when it fails. */
  readonly fd: number
  readonly isClient: boolean
  /** 32 bytes each; copied. */
  readonly sendKey: Uint8Array
  readonly sendCount: number
  readonly receiveKey: Uint8Array
  readonly receiveCount: number
  readonly maxRecords: number
  readonly sealed: Uint8Array
  readonly plaintext: Uint8Array
  readonly counterSlot: number
  readonly mergesMessages: boolean
  readonly maxInboundStreams: number
  readonly maxBacklog: number
  readonly maxWindowBytes: number
}

export interface AddonStarted {
  /** 1: io_uring, 2: epoll, negative: an errno. */
  readonly backend: number
  readonly uringError?: number
  readonly handle?: object
  /** Where plaintext lies when it is told. */
  readonly slabs?: ArrayBuffer
}

export interface Addon {
  start(options: AddonStart): AddonStarted
  /** An engine without a thread. These three may be missing, and then there is none. */
  readonly startInline?: (options: AddonStartInline) => AddonStarted
  /** Gives a connection to the thread; what was written for it before has been run. False: it stays. */
  promote?(inline: object, thread: object, id: number): boolean
  /** Takes a connection that the thread has released. */
  adopt?(inline: object, thread: object, id: number): boolean
  /** A second descriptor of the same socket, or a negative errno. */
  duplicate(handle: object, fd: number): number
  /** Closes a duplicate that is not attached. */
  release(fd: number): void
  /** 0 or an errno. */
  attach(handle: object, options: AddonAttach): number
  wake(handle: object): void
  hold(handle: object, isHeld: boolean): void
  stop(handle: object): void
  /** Of plaintext that is being told, for good: memory of just these bytes. `undefined`: copy them. */
  keep(handle: object, offset: number, byteLength: number): ArrayBuffer | undefined
  /**
   * The descriptor of a TCP socket bound to a port at which this process listens with `reusePort`, the caller's to close
   * or to hand to node:net; or a negative errno. Not there in an addon built before it was.
   */
  openOnSharedPort?(address: string, port: number): number
}
