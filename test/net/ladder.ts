/** Goodput over a bad link: a stream of ours and plain TCP of the kernel, through the same impairment box, in turn. */
import { Lab } from './lab.ts'
import { LabPeer } from './peer.ts'
import type { NodeConfig } from '../fake/network-node.ts'

export interface Rung {
  /** Of frames, in bursts of LOSS_BURST. */
  readonly lossPercent: number
  /** Each way: a round trip takes twice as long. */
  readonly delayMs: number
}

/** Mean count of frames lost in a row. */
export const LOSS_BURST = 3
const ROUND_TRIPS = 12
const LEAST_MS = 3_000

/**
 * A datagram each 20 ms, either way: the traffic of others. The box counts a burst in frames; on a cable with nothing but
 * one stalled connection it would last as long as TCP waits, and end with nothing else than what TCP sends again.
 */
const OTHERS = `
  const socket = require('node:dgram').createSocket('udp4')
  socket.on('error', () => undefined)
  setInterval(() => socket.send('x', 9, process.argv[1]), 20)
`

export type Way = 'nzcore' | 'tcp'

/** Two machines, the cable of one bad. */
export class Ladder implements AsyncDisposable {
  readonly near: LabPeer
  readonly far: LabPeer
  readonly #lab: Lab

  private constructor(lab: Lab, near: LabPeer, far: LabPeer) {
    this.#lab = lab
    this.near = near
    this.far = far
  }

  static async open(config: NodeConfig = {}): Promise<Ladder> {
    const lab = await Lab.open({
      segments: { wire: { subnet: '45.0.0.0/24' } },
      hosts: { near: { on: 'wire', impairment: {} }, far: { on: 'wire' } },
    })
    try {
      const [near, far] = await Promise.all(['near', 'far'].map(async (name) => await LabPeer.start(lab, name, config)))
      if (near === undefined || far === undefined) throw new Error('two peers were asked for')
      await far.listenRaw()
      for (const [from, to] of [
        ['near', 'far'],
        ['far', 'near'],
      ] as const)
        lab.spawn(from, process.execPath, ['-e', OTHERS, lab.address(to)], { stdio: 'ignore' })
      return new Ladder(lab, near, far)
    } catch (error) {
      await lab[Symbol.asyncDispose]()
      throw error
    }
  }

  /** What the cable does from now on; connections that stand feel it, too. */
  async set({ lossPercent, delayMs }: Rung): Promise<void> {
    await this.#lab.impair('near', { lossPercent, delayMs, lossBurst: lossPercent === 0 ? 1 : LOSS_BURST, seed: 7 })
  }

  /** Connects both ways of it; on a good cable, so that no rung is measured that never came about. */
  async connect(): Promise<void> {
    await this.near.connect(this.far, await this.far.addresses())
    await this.near.connectRaw(this.#lab.address('far'))
  }

  /** Ends both ways and connects them again, so that nothing is left of what was sent. */
  async connectAnew(): Promise<void> {
    await this.near.disconnect(this.far)
    await this.connect()
  }

  /** Bytes a second that have arrived at the far end while `durationMs` passed, on a connection that stood before. */
  async goodput(way: Way, durationMs: number): Promise<number> {
    const before = await this.far.arrived(way)
    await this.near.pour(this.far, way, durationMs)
    return ((await this.far.arrived(way)) - before) / (durationMs / 1_000)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lab[Symbol.asyncDispose]()
  }
}

/** Some round trips: what comes is counted when a whole encrypted record has come. */
export function durationOf({ delayMs }: Rung): number {
  return Math.max(LEAST_MS, delayMs * 2 * ROUND_TRIPS)
}
