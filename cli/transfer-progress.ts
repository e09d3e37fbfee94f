/** The line that shows how a transfer goes: bytes, share, speed, time left. */
import { escapeText, formatBytes, formatDuration } from './text.ts'
import type { Clock } from '../kernel/index.ts'
import type { Output } from './command.ts'

export interface ShownTransfer {
  readonly peer: string
  readonly name: string
  readonly state: string
  readonly size: number | null
  readonly bytes: number
}

/** Speed is taken over the last few seconds. */
const SPEED_WINDOW_MS = 3_000

/** Shortest time between two lines. */
const SHOW_INTERVAL_MS = 100

const BAR_CELLS = 10

export class ProgressLine {
  readonly #output: Output
  readonly #clock: Clock
  #marks: Array<{ readonly atMs: number; readonly bytes: number }> = []
  #shownMs = -Infinity

  constructor(output: Output, clock: Clock) {
    this.#output = output
    this.#clock = clock
  }

  show(transfer: ShownTransfer): void {
    const atMs = this.#clock.monotonicMs()
    const before = this.#marks.at(-1)
    if (before !== undefined && transfer.bytes < before.bytes) this.#marks = []
    this.#marks.push({ atMs, bytes: transfer.bytes })
    while (this.#marks.length > 2 && atMs - (this.#marks[0]?.atMs ?? atMs) > SPEED_WINDOW_MS) this.#marks.shift()
    if (atMs - this.#shownMs < SHOW_INTERVAL_MS) return
    this.#shownMs = atMs
    this.#output.progress(progressText(transfer, this.#bytesPerSecond()))
  }

  clear(): void {
    this.#output.progress(null)
  }

  #bytesPerSecond(): number {
    const [first] = this.#marks
    const last = this.#marks.at(-1)
    if (first === undefined || last === undefined || last.atMs - first.atMs < 100) return 0
    return ((last.bytes - first.bytes) / (last.atMs - first.atMs)) * 1_000
  }
}

/** `docs  412 MB ██████▌    63 % 118 MB/s ETA 1 s`; without size no bar, share or time left. */
export function progressText({ peer, name, state, size, bytes }: ShownTransfer, bytesPerSecond: number): string {
  if (state === 'waiting') return `waiting for ${escapeText(peer)}…  ${formatBytes(bytes)} safe`
  const speed = bytesPerSecond > 0 ? ` ${formatBytes(bytesPerSecond)}/s` : ''
  if (size === null || size === 0) return `${escapeText(name)}  ${formatBytes(bytes)}${speed}`
  const share = Math.min(1, bytes / size)
  const left = bytesPerSecond > 0 ? ` ETA ${formatDuration(((size - bytes) / bytesPerSecond) * 1_000)}` : ''
  return `${escapeText(name)}  ${formatBytes(size)} ${bar(share)} ${Math.floor(share * 100)} %${speed}${left}`
}

function bar(share: number): string {
  const cells = share * BAR_CELLS
  const half = cells % 1 >= 0.5 ? '▌' : ''
  return `${'█'.repeat(Math.floor(cells))}${half}`.padEnd(BAR_CELLS)
}
