/** One of the two engines of an environment, as its JS side has it: what is shared with it, and the way to call it. */
import { COUNTER_SLOT_WORDS, EVENT_WORDS, MAX_EVENTS } from './addon.ts'
import { CommandRing } from './command-ring.ts'
import type { Addon, AddonAreas, AddonStarted } from './addon.ts'

const CONTROL_BYTES = 64
/** Connections whose counters can be read; those beyond count for themselves alone. */
export const MAX_COUNTER_SLOTS = 16_384

export interface Lane {
  readonly handle: object
  readonly ring: CommandRing
  readonly events: Uint32Array
  readonly slabs: Uint8Array
  readonly started: AddonStarted
}

export interface LaneInit {
  readonly addon: Addon
  readonly ringBytes: number
  /** Of all connections, whichever engine has them. */
  readonly counters: ArrayBuffer
  readonly limits: Pick<AddonAreas, 'keepAliveMs' | 'busyBytes'>
  readonly start: (areas: AddonAreas) => AddonStarted
  readonly onBatch: (lane: Lane, count: number, offset: number, overflow: ArrayBuffer | undefined) => void
}

export function countersOfAll(): ArrayBuffer {
  return new ArrayBuffer(MAX_COUNTER_SLOTS * COUNTER_SLOT_WORDS * 8)
}

/** A number is an errno: the engine does not start. */
export function startLane({ addon, ringBytes, counters, limits, start, onBatch }: LaneInit): Lane | number {
  const commands = new ArrayBuffer(ringBytes)
  const control = new ArrayBuffer(CONTROL_BYTES)
  const events = new ArrayBuffer(MAX_EVENTS * EVENT_WORDS * 4)
  const started = start({
    ...limits,
    commands,
    control,
    counters,
    events,
    onBatch: (count, offset, overflow) => {
      if (lane !== undefined) onBatch(lane, count, offset, overflow)
    },
  })
  const { handle, slabs } = started
  if (handle === undefined || slabs === undefined) return -started.backend
  const ring = new CommandRing({ ring: commands, control, onWake: () => addon.wake(handle) })
  const lane: Lane | undefined = {
    handle,
    ring,
    events: new Uint32Array(events),
    slabs: new Uint8Array(slabs),
    started,
  }
  return lane
}
