/** Desk and laptop: two machines of one story. Everything they say to each other goes through a relay that records it. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './loopback-port.ts'
import { Machine, peakMemory } from './machine.ts'
import { writeSampleFile } from './sample-file.ts'
import { createWireTap, findAnyWindow } from './wire-tap.ts'
import type { SampleFile } from './sample-file.ts'
import type { WireTap } from './wire-tap.ts'

export const MIB = 1_048_576
/** What a story sends; NZ_FULL=1: 1 GiB. */
export const STORY_BYTES = (process.env['NZ_FULL'] === undefined ? 64 : 1_024) * MIB
/** In the clear it would be easy to find on the wire. */
export const FILE_NAME = 'a-name-that-nobody-else-would-choose.bin'

const MAX_MEMORY_BYTES = 200_000_000

export interface TwoMachinesInit {
  /** Size of the sample file, a multiple of 1 MiB. */
  readonly bytes: number
}

export class TwoMachines {
  readonly desk: Machine
  readonly laptop: Machine
  readonly tap: WireTap
  readonly sample: SampleFile
  readonly #folder: string

  private constructor(folder: string, parts: Pick<TwoMachines, 'desk' | 'laptop' | 'tap' | 'sample'>) {
    this.#folder = folder
    this.desk = parts.desk
    this.laptop = parts.laptop
    this.tap = parts.tap
    this.sample = parts.sample
  }

  static async create({ bytes }: TwoMachinesInit): Promise<TwoMachines> {
    const folder = await mkdtemp(join(tmpdir(), 'nzs-'))
    const port = await freePort()
    const tap = await createWireTap(port, join(folder, 'capture'))
    // The laptop listens nowhere and the desk tells only the relay's address, so no byte can go another way.
    const listen = `listen = ["/ip4/127.0.0.1/tcp/${port}"]\nannounce = ["/ip4/127.0.0.1/tcp/${tap.port}"]`
    const desk = await Machine.create(join(folder, 'desk'), `[network]\n${listen}\n`)
    const laptop = await Machine.create(join(folder, 'laptop'), '[network]\nlisten = []\n')
    const sample = await writeSampleFile(join(folder, FILE_NAME), bytes)
    return new TwoMachines(folder, { desk, laptop, tap, sample })
  }

  get samplePath(): string {
    return this.at(FILE_NAME)
  }

  at(...parts: readonly string[]): string {
    return join(this.#folder, ...parts)
  }

  /** An empty folder. */
  async folder(name: string): Promise<string> {
    await mkdir(this.at(name))
    return this.at(name)
  }

  /** Runs `work` and holds the peak memory of both daemons meanwhile against the bound; `told` gets the figures. */
  async withinMemory<T>(work: Promise<T>, told: (figures: string) => void): Promise<T> {
    const [deskPid, laptopPid] = [await this.desk.pid(), await this.laptop.pid()]
    const both = await peakMemory(deskPid, peakMemory(laptopPid, work))
    const peaks = { desk: both.peakBytes, laptop: both.result.peakBytes }
    const figures = Object.entries(peaks).map(([name, bytes]) => `${name} ${(bytes / 1e6).toFixed(0)} MB`)
    told(`peak memory: ${figures.join(', ')}`)
    for (const bytes of Object.values(peaks)) assert.ok(bytes > 0 && bytes < MAX_MEMORY_BYTES, figures.join(', '))
    return both.result.result
  }

  /** Closes the relay, and looks for the file and its name in all that went over the wire, at least `bytes`. */
  async assertSecret(bytes: number): Promise<void> {
    await this.tap.finish()
    const capture = this.at('capture')
    assert.ok((await stat(capture)).size > bytes)
    assert.equal(await findAnyWindow(capture, this.sample.secret), null)
    assert.equal(await findAnyWindow(capture, Buffer.from(FILE_NAME)), null)
  }

  async close(): Promise<void> {
    this.tap.release()
    for (const machine of [this.desk, this.laptop]) await machine.run('down')
    await this.tap.finish()
    await rm(this.#folder, { recursive: true, force: true })
  }
}
