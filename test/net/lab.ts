/**
 * Builds a topology from network namespaces: one for each host, router and NAT, one for all switches. Everything is
 * named after the process that made it, so that the next lab removes what a killed one has left.
 */
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { impairmentArguments, impairmentBox } from './impairment-box.ts'
import { miniupnpdConfig, natRules, PORT_MAPPING_RULES } from './nat.ts'
import { ipIn, run, runIn, spawnIn } from './system.ts'
import { planOf } from './topology.ts'
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import type { Attachment, Impairment, Nat, Plan, Topology } from './topology.ts'

const PREFIX = 'nzlab'
const NAMESPACE_FOLDER = '/run/netns'
const READY_TIMEOUT_MS = 30_000

let labs = 0

interface Wired extends Attachment {
  /** Inside its machine. */
  readonly interfaceName: string
  /** On the switch; with an impairment box between them these are the two ends of the detour. */
  readonly port: string
}

/** A test network that stands. Dispose of it. */
export class Lab implements AsyncDisposable {
  readonly #plan: Plan
  readonly #topology: Topology
  readonly #name: string
  readonly #folder: string
  readonly #wired: Wired[] = []
  readonly #boxes = new Map<string, ChildProcess>()
  readonly #children = new Set<ChildProcess>()

  private constructor(topology: Topology) {
    this.#topology = topology
    this.#plan = planOf(topology)
    this.#name = `${PREFIX}-${process.pid}-${(labs += 1)}`
    this.#folder = mkdtempSync(join(tmpdir(), 'nzlab-'))
  }

  /** @throws what the system says when a part cannot be made; nothing is left then */
  static async open(topology: Topology): Promise<Lab> {
    sweep()
    const lab = new Lab(topology)
    try {
      await lab.#build()
      return lab
    } catch (error) {
      await lab[Symbol.asyncDispose]()
      throw error
    }
  }

  /** IPv4, or IPv6 where the segment has nothing else. A router or NAT has one address in each of its segments. */
  address(machine: string, segment?: string): string {
    const { address, address6 } = this.#attachment(machine, segment)
    return address ?? address6 ?? ''
  }

  address6(machine: string, segment?: string): string {
    const { address6 } = this.#attachment(machine, segment)
    if (address6 === null) throw new Error(`${machine} has no IPv6 address`)
    return address6
  }

  /** The network namespace of a machine, for `ip netns exec`. */
  namespace(machine: string): string {
    if (!this.#plan.machines.includes(machine)) throw new Error(`no machine is called ${machine}`)
    return `${this.#name}-${machine}`
  }

  /** Runs a program on a machine to its end. @throws when it fails */
  run(machine: string, command: string, ...args: readonly string[]): string {
    return runIn(this.namespace(machine), command, args)
  }

  /** Starts a program on a machine; it is killed with the lab at the latest. */
  spawn(machine: string, command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = spawnIn(this.namespace(machine), command, args, options)
    this.#children.add(child)
    child.once('exit', () => this.#children.delete(child))
    return child
  }

  /** Takes a machine off the network, as a pulled cable does, or puts it back. */
  setLink(machine: string, state: 'up' | 'down'): void {
    for (const { port } of this.#wired.filter((each) => each.machine === machine))
      ipIn(this.#switches, [`link set ${port} ${state}`])
  }

  /** Changes what the link of a machine does; only of one that was impaired from the start. */
  async impair(machine: string, impairment: Impairment): Promise<void> {
    const wired = this.#wired.find((each) => each.machine === machine && each.impairment !== null)
    if (wired === undefined) throw new Error(`the link of ${machine} has no impairment box`)
    await this.#startBox(wired, impairment)
  }

  /** The port mappings a NAT holds for those inside it, as nft tells them. */
  portMappings(nat: string): readonly string[] {
    const listed = this.run(nat, 'nft', 'list', 'chain', 'inet', 'nzmap', 'prerouting_miniupnpd')
    return listed.split('\n').flatMap((line) => (line.includes('dnat') ? [line.trim()] : []))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const running = [...this.#children, ...this.#boxes.values()]
    for (const child of running) child.kill('SIGKILL')
    await Promise.all(running.map(async (child) => child.exitCode ?? child.signalCode ?? (await once(child, 'exit'))))
    for (const namespace of namespaces()) if (namespace.startsWith(`${this.#name}-`)) remove(namespace)
    rmSync(this.#folder, { recursive: true, force: true })
  }

  get #switches(): string {
    return `${this.#name}-switches`
  }

  #attachment(machine: string, segment?: string): Attachment {
    const found = this.#plan.attachments.filter(
      (each) => each.machine === machine && (segment === undefined || each.segment === segment),
    )
    const [only] = found
    if (only === undefined || found.length > 1)
      throw new Error(`${machine} is on ${found.length} segments${segment === undefined ? '' : ` called ${segment}`}`)
    return only
  }

  async #build(): Promise<void> {
    const { machines, attachments } = this.#plan
    for (const name of ['switches', ...machines]) run('ip', ['netns', 'add', `${this.#name}-${name}`])
    const bridges = Object.keys(this.#topology.segments).map((_segment, at) => `br${at}`)
    ipIn(
      this.#switches,
      bridges.flatMap((bridge) => [`link add ${bridge} type bridge`, `link set ${bridge} up`]),
    )
    for (const machine of machines) this.#prepare(machine)
    for (const [at, attachment] of attachments.entries()) await this.#wire(attachment, at)
    for (const attachment of this.#wired) this.#route(attachment)
    for (const [name, nat] of Object.entries(this.#topology.nats ?? {})) await this.#startNat(name, nat)
  }

  #prepare(machine: string): void {
    const namespace = this.namespace(machine)
    ipIn(namespace, ['link set lo up'])
    if (this.#topology.hosts[machine] === undefined)
      runIn(namespace, 'sysctl', ['-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'])
    // Both sides of a connection start at once; answers may not wait for a check of the address.
    runIn(namespace, 'sysctl', ['-qw', 'net.ipv6.conf.all.accept_dad=0', 'net.ipv6.conf.default.accept_dad=0'])
  }

  /** A cable from the machine to the switch of its segment, by way of a box when it is a bad one. */
  async #wire(attachment: Attachment, at: number): Promise<void> {
    const { machine, segment, impairment } = attachment
    const bridge = `br${Object.keys(this.#topology.segments).indexOf(segment)}`
    const namespace = this.namespace(machine)
    const wired: Wired = { ...attachment, interfaceName: `eth${at}`, port: `p${at}` }
    this.#wired.push(wired)
    const { interfaceName, port, address, address6, prefixLength, prefixLength6 } = wired
    ipIn(this.#switches, [
      `link add ${port} type veth peer name ${interfaceName} netns ${namespace}`,
      `link set ${port} up`,
      ...(impairment === null
        ? [`link set ${port} master ${bridge}`]
        : [`link add d${at} type veth peer name e${at}`, `link set d${at} up`, `link set e${at} up master ${bridge}`]),
    ])
    ipIn(namespace, [
      ...(address === null ? [] : [`address add ${address}/${prefixLength} dev ${interfaceName}`]),
      ...(address6 === null ? [] : [`address add ${address6}/${prefixLength6} dev ${interfaceName} nodad`]),
      `link set ${interfaceName} up`,
    ])
    if (impairment === null) return
    runIn(namespace, impairmentBox(), ['plain', interfaceName])
    runIn(this.#switches, impairmentBox(), ['plain', port, `d${at}`, `e${at}`])
    await this.#startBox(wired, impairment)
  }

  async #startBox({ port }: Wired, impairment: Impairment): Promise<void> {
    const earlier = this.#boxes.get(port)
    if (earlier !== undefined) {
      earlier.kill('SIGKILL')
      await (earlier.exitCode ?? earlier.signalCode ?? once(earlier, 'exit'))
    }
    const words = ['link', port, port.replace('p', 'd'), ...impairmentArguments(impairment)]
    const box = spawnIn(this.#switches, impairmentBox(), words, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#boxes.set(port, box)
    if (box.stdout === null) throw new Error('the impairment box has no output')
    const exited = once(box, 'exit').then(() => {
      throw new Error('the impairment box ended')
    })
    exited.catch(() => undefined)
    await Promise.race([once(box.stdout, 'data', { signal: AbortSignal.timeout(READY_TIMEOUT_MS) }), exited])
  }

  #route({ machine, segment, interfaceName }: Wired): void {
    const gateway = this.#plan.gatewayOf.get(segment)
    if (gateway === undefined || gateway.machine === machine) return
    ipIn(this.namespace(machine), [
      ...(gateway.address === null ? [] : [`route add default via ${gateway.address} dev ${interfaceName}`]),
      ...(gateway.address6 === null ? [] : [`route add ::/0 via ${gateway.address6} dev ${interfaceName}`]),
    ])
  }

  async #startNat(name: string, { inside, outside, kind, hasPortMapping = false }: Nat): Promise<void> {
    const sideOf = (segment: string): string =>
      this.#wired.find((each) => each.machine === name && each.segment === segment)?.interfaceName ?? ''
    const sides = { inside: sideOf(inside), outside: sideOf(outside) }
    const namespace = this.namespace(name)
    runIn(namespace, 'nft', ['-f', '-'], natRules(kind, sides))
    if (!hasPortMapping) return
    runIn(namespace, 'nft', ['-f', '-'], PORT_MAPPING_RULES)
    const file = (suffix: string): string => join(this.#folder, `${name}.${suffix}`)
    const isUpnpAlone = hasPortMapping === 'upnp'
    writeFileSync(file('conf'), miniupnpdConfig(sides, { leaseFile: file('leases'), isUpnpAlone }))
    const gateway = this.spawn(name, 'miniupnpd', ['-d', '-f', file('conf'), '-P', file('pid')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    await saysReady(gateway, isUpnpAlone ? /HTTP listening/ : /Listening for NAT-PMP/)
  }
}

/** Removes the labs of processes that are gone, with what still runs in them. */
export function sweep(): void {
  for (const namespace of namespaces()) {
    const [, pid] = new RegExp(`^${PREFIX}-(\\d+)-`).exec(namespace) ?? []
    if (pid === undefined || isAlive(Number(pid))) continue
    remove(namespace)
  }
}

function namespaces(): readonly string[] {
  try {
    return readdirSync(NAMESPACE_FOLDER)
  } catch {
    return []
  }
}

function remove(namespace: string): void {
  for (const pid of run('ip', ['netns', 'pids', namespace]).split('\n').filter(Boolean)) {
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It has just ended.
    }
  }
  run('ip', ['netns', 'del', namespace])
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** miniupnpd tells on standard error that it listens. */
async function saysReady(gateway: ChildProcess, words: RegExp): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let text = ''
  gateway.stderr?.on('data', (chunk: Buffer) => {
    text = `${text}${chunk.toString()}`.slice(-4_000)
    if (words.test(text)) resolve()
  })
  gateway.once('exit', (code) => reject(new Error(`miniupnpd ended with ${String(code)}: ${text}`)))
  gateway.once('error', reject)
  const timer = setTimeout(() => reject(new Error(`miniupnpd does not start: ${text}`)), READY_TIMEOUT_MS)
  try {
    await promise
  } finally {
    clearTimeout(timer)
  }
}
