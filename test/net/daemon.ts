/** A whole node on one machine of the lab: `nzcore up` in its namespace; commands reach it by its Unix socket. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { lastDocument, Machine } from '../integration/story/machine.ts'
import { homeOf } from '../../protocols/ipc/home.ts'
import { createClient } from '../../sdk/index.ts'
import { until } from './peer.ts'
import type { doctorContract } from '../../protocols/ipc/contract/doctor.ts'
import type { discoveryContract } from '../../protocols/ipc/contract/discovery.ts'
import type { networkContract } from '../../protocols/ipc/contract/network.ts'
import type { ResultOf } from '../../protocols/ipc/endpoint.ts'
import type { ChildProcess } from 'node:child_process'
import type { NzClient } from '../../sdk/index.ts'
import type { Lab } from './lab.ts'

export type Why = ResultOf<(typeof discoveryContract)['peersWhy']>
export type Diagnosis = ResultOf<(typeof doctorContract)['doctorExamine']>
export type Reachability = ResultOf<(typeof networkContract)['networkReachability']>

const launcher = resolve(import.meta.dirname, '../../cli/nzcore.js')

export interface DaemonOptions {
  /** Lines of the table `network`. */
  readonly network?: readonly string[]
  /** Lines of tables of their own. */
  readonly tables?: readonly string[]
}

export class LabDaemon implements AsyncDisposable {
  readonly machine: Machine
  readonly name: string
  readonly child: ChildProcess
  readonly client: NzClient
  readonly #folder: string
  peerId = ''

  private constructor(name: string, folder: string, machine: Machine, child: ChildProcess) {
    this.name = name
    this.#folder = folder
    this.machine = machine
    this.child = child
    this.client = createClient({ socketPath: homeOf({ env: machine.env }).socketPath })
  }

  /** Listens at TCP 4001 of all addresses; looks for nobody by itself unless `tables` says so. */
  static async start(lab: Lab, name: string, { network = [], tables = OFF }: DaemonOptions = {}): Promise<LabDaemon> {
    const folder = await mkdtemp(join(tmpdir(), 'nzlab-home-'))
    const listen = 'listen = ["/ip4/0.0.0.0/tcp/4001", "/ip6/::/tcp/4001"]'
    const config = ['[network]', listen, ...network, ...tables].join('\n')
    const machine = await Machine.create(folder, `${config}\n`)
    const child = lab.spawn(name, process.execPath, [launcher, 'up', '--foreground'], {
      cwd: folder,
      env: machine.env,
      stdio: 'ignore',
    })
    const daemon = new LabDaemon(name, folder, machine, child)
    const id = await until(
      async () => await daemon.client.identityShow({}).catch(() => null),
      (answer) => answer !== null || child.exitCode !== null,
    )
    daemon.peerId = id?.peerId ?? ''
    return daemon
  }

  async reachability(): Promise<Reachability> {
    return await this.client.networkReachability({})
  }

  /** As the command tells it. */
  async why({ peerId }: LabDaemon): Promise<Why> {
    return await this.document<Why>('why', peerId)
  }

  /** As the command tells it. */
  async doctor(): Promise<Diagnosis> {
    return await this.document<Diagnosis>('doctor')
  }

  /** The finding of a check, the first when there are more. */
  async finding(check: string): Promise<Diagnosis['findings'][number]> {
    const { findings } = await this.doctor()
    const found = findings.find((each) => each.check === check)
    if (found === undefined) throw new Error(`no finding ${check} in ${JSON.stringify(findings)}`)
    return found
  }

  /** What a command prints with `--json`, whatever it exits with. */
  async document<Answer>(...words: readonly string[]): Promise<Answer> {
    const { stdout, stderr } = await this.machine.run(...words, '--json')
    if (stdout === '') throw new Error(`nzcore ${words.join(' ')}: ${stderr}`)
    return lastDocument(stdout) as Answer
  }

  /** What a command prints for people, on standard output. */
  async text(...words: readonly string[]): Promise<string> {
    return (await this.machine.run(...words)).stdout
  }

  /** Whether it came about. */
  async connect(peerId: string, addresses: readonly string[] = [], timeoutMs = 30_000): Promise<boolean> {
    return await this.client.peersConnect({ peer: peerId, addresses: [...addresses], timeoutMs }).then(
      () => true,
      () => false,
    )
  }

  /** As a crash would. */
  kill(): void {
    this.child.kill('SIGKILL')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const gone = new Promise((resolve_) => this.child.once('exit', resolve_))
      this.child.kill('SIGKILL')
      await gone
    }
    await rm(this.#folder, { recursive: true, force: true })
  }
}

const OFF = ['[discovery]', 'mode = "off"']
