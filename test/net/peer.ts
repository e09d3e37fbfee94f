/** A node of ours on one machine of the lab: its network module in a process of its own. */
import { once } from 'node:events'
import { join } from 'node:path'
import { Conversation } from './conversation.ts'
import type { DialAttempt, Peer as PeerView, Reachability } from '../../modules/network/service.ts'
import type { NodeConfig } from '../fake/network-node.ts'
import type { Lab } from './lab.ts'
import type { Way } from './ladder.ts'

export type PeerQuestion =
  | { readonly ask: 'start'; readonly config: NodeConfig }
  | { readonly ask: 'addresses' }
  | { readonly ask: 'connect'; readonly peerId: string; readonly addresses: readonly string[] }
  | { readonly ask: 'peer'; readonly peerId: string }
  | { readonly ask: 'keep'; readonly peerId: string }
  | { readonly ask: 'attempts'; readonly peerId: string }
  | { readonly ask: 'reachability' }
  | { readonly ask: 'stop' }
  | { readonly ask: 'live' }
  | { readonly ask: 'disconnect'; readonly peerId: string }
  | { readonly ask: 'listenRaw' }
  | { readonly ask: 'connectRaw'; readonly host: string }
  | { readonly ask: 'pour'; readonly peerId: string; readonly way: Way; readonly durationMs: number }
  | { readonly ask: 'arrived'; readonly way: Way }
  | { readonly ask: 'echo'; readonly peerId: string; readonly byteLength: number }

export interface PeerAsked {
  readonly id: number
  readonly question: PeerQuestion
}

const UNTIL_TIMEOUT_MS = 60_000

export class LabPeer {
  readonly peerId: string
  readonly #talk: Conversation<PeerQuestion>

  private constructor(peerId: string, talk: Conversation<PeerQuestion>) {
    this.peerId = peerId
    this.#talk = talk
  }

  /** Listens at TCP 4001 of all addresses of its machine. */
  static async start(lab: Lab, machine: string, config: NodeConfig = {}): Promise<LabPeer> {
    const child = lab.spawn(machine, process.execPath, [join(import.meta.dirname, 'peer-process.ts')], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    await once(child, 'message', { signal: AbortSignal.timeout(UNTIL_TIMEOUT_MS) })
    const talk = new Conversation<PeerQuestion>(child)
    const listen = ['/ip4/0.0.0.0/tcp/4001', '/ip6/::/tcp/4001']
    const peerId = (await talk.ask({ ask: 'start', config: { listen, ...config } })) as string
    return new LabPeer(peerId, talk)
  }

  async addresses(): Promise<readonly string[]> {
    return (await this.#talk.ask({ ask: 'addresses' })) as readonly string[]
  }

  async connect(other: LabPeer, addresses: readonly string[] = []): Promise<number> {
    const { tookMs } = (await this.#talk.ask({ ask: 'connect', peerId: other.peerId, addresses })) as { tookMs: number }
    return tookMs
  }

  /** From now on the connection is made again whenever it is lost. */
  async keep(other: LabPeer): Promise<void> {
    await this.#talk.ask({ ask: 'keep', peerId: other.peerId })
  }

  async peer(other: LabPeer): Promise<PeerView | null> {
    return (await this.#talk.ask({ ask: 'peer', peerId: other.peerId })) as PeerView | null
  }

  async attempts(other: LabPeer): Promise<readonly DialAttempt[]> {
    return (await this.#talk.ask({ ask: 'attempts', peerId: other.peerId })) as readonly DialAttempt[]
  }

  async reachability(): Promise<Reachability> {
    return (await this.#talk.ask({ ask: 'reachability' })) as Reachability
  }

  /** Sends so many bytes over a stream and counts what comes back. */
  async echo(other: LabPeer, byteLength: number): Promise<number> {
    return (await this.#talk.ask({ ask: 'echo', peerId: other.peerId, byteLength })) as number
  }

  async disconnect(other: LabPeer): Promise<void> {
    await this.#talk.ask({ ask: 'disconnect', peerId: other.peerId })
  }

  async listenRaw(): Promise<void> {
    await this.#talk.ask({ ask: 'listenRaw' })
  }

  /** Opens a socket to RAW_PORT there, for `pour`. */
  async connectRaw(host: string): Promise<void> {
    await this.#talk.ask({ ask: 'connectRaw', host })
  }

  /** Sends as much as goes until the time is over (pour.ts). */
  async pour(other: LabPeer, way: Way, durationMs: number): Promise<void> {
    await this.#talk.ask({ ask: 'pour', peerId: other.peerId, way, durationMs })
  }

  /** Bytes that others have poured here. */
  async arrived(way: Way): Promise<number> {
    return (await this.#talk.ask({ ask: 'arrived', way })) as number
  }

  /** In order, as `nzcore down` does. */
  async stop(): Promise<void> {
    await this.#talk.ask({ ask: 'stop' })
  }

  kill(): void {
    this.#talk.child.kill('SIGKILL')
  }
}

/** Asks again and again until the answer is right; the last one is told when it never is. */
export async function until<T>(
  ask: () => Promise<T>,
  isRight: (answer: T) => boolean,
  timeoutMs = UNTIL_TIMEOUT_MS,
): Promise<T> {
  const endMs = performance.now() + timeoutMs
  for (;;) {
    const answer = await ask()
    if (isRight(answer)) return answer
    if (performance.now() > endMs) throw new Error(`still: ${JSON.stringify(answer, null, 1)}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
