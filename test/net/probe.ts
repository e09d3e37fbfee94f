/** A program on one machine of the lab that opens sockets as told, and what a NAT does, measured with three of them. */
import { once } from 'node:events'
import { join } from 'node:path'
import { Conversation } from './conversation.ts'
import type { ChildProcess } from 'node:child_process'
import type { Lab } from './lab.ts'
import type { NatKind } from './topology.ts'

export type Question =
  | { readonly ask: 'udpOpen'; readonly port: number }
  | { readonly ask: 'udpSend'; readonly port: number; readonly to: string; readonly text: string }
  | { readonly ask: 'udpReceived'; readonly text: string }
  | { readonly ask: 'tcpListen'; readonly port: number; readonly host: string }
  | { readonly ask: 'tcpAsk'; readonly to: string; readonly localPort: number; readonly timeoutMs: number }

export interface Asked {
  readonly id: number
  readonly question: Question
}

const ANSWER_TIMEOUT_MS = 60_000
/** For a connection that a NAT may let in or drop in silence; three SYNs go out in it. */
const LET_IN_TIMEOUT_MS = 4_000

export class Probe {
  readonly #talk: Conversation<Question>

  private constructor(child: ChildProcess) {
    this.#talk = new Conversation(child)
  }

  static async start(lab: Lab, machine: string): Promise<Probe> {
    const child = lab.spawn(machine, process.execPath, [join(import.meta.dirname, 'prober.ts')], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    await once(child, 'message', { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) })
    return new Probe(child)
  }

  async ask(question: Question): Promise<unknown> {
    return await this.#talk.ask(question)
  }

  /** Which address the one at `to` sees when asked from `port`. */
  async seenByUdp(port: number, to: string): Promise<string> {
    await this.ask({ ask: 'udpSend', port, to, text: 'who am I' })
    const arrived = (await this.ask({ ask: 'udpReceived', text: 'you are' })) as readonly { text: string }[]
    return arrived.find(({ text }) => text.startsWith('you are'))?.text.replace('you are ', '') ?? ''
  }

  async seenByTcp(localPort: number, to: string, timeoutMs = ANSWER_TIMEOUT_MS / 2): Promise<string | null> {
    return (await this.ask({ ask: 'tcpAsk', to, localPort, timeoutMs })) as string | null
  }
}

/** What was found out about a NAT, in the words of RFC 4787. */
export interface Behaviour {
  readonly mapping: 'endpoint-independent' | 'endpoint-dependent'
  readonly filtering: 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent'
}

export const behaviourOf: Readonly<Record<NatKind, Behaviour>> = {
  'full-cone': { mapping: 'endpoint-independent', filtering: 'endpoint-independent' },
  'address-restricted': { mapping: 'endpoint-independent', filtering: 'address-dependent' },
  'port-restricted': { mapping: 'endpoint-independent', filtering: 'address-and-port-dependent' },
  symmetric: { mapping: 'endpoint-dependent', filtering: 'address-and-port-dependent' },
}

export interface Outside {
  readonly probe: Probe
  readonly address: string
}

/** As RFC 5780 §4.3 and §4.4 do it, with two servers outside; both have sockets at `ports`. */
export async function measureUdp(
  inside: Probe,
  [near, far]: readonly [Outside, Outside],
  { port, ports: [first, second] }: { readonly port: number; readonly ports: readonly [number, number] },
): Promise<Behaviour> {
  await inside.ask({ ask: 'udpOpen', port })
  const mapped = await inside.seenByUdp(port, `${near.address}:${first}`)
  await near.probe.ask({ ask: 'udpSend', port: second, to: mapped, text: 'other port' })
  await far.probe.ask({ ask: 'udpSend', port: first, to: mapped, text: 'other address' })
  // This one is let in by every kind; what was sent before it has arrived by then, or never will.
  await near.probe.ask({ ask: 'udpSend', port: first, to: mapped, text: 'end' })
  const arrived = (await inside.ask({ ask: 'udpReceived', text: 'end' })) as readonly { text: string }[]
  const has = (text: string): boolean => arrived.some((each) => each.text === text)
  const others = [
    await inside.seenByUdp(port, `${near.address}:${second}`),
    await inside.seenByUdp(port, `${far.address}:${first}`),
  ]
  return describe(
    others.every((other) => other === mapped),
    { isOtherPortLetIn: has('other port'), isOtherAddressLetIn: has('other address') },
  )
}

/** The same for TCP; a connection that stays out costs LET_IN_TIMEOUT_MS. */
export async function measureTcp(
  inside: Probe,
  [near, far]: readonly [Outside, Outside],
  { port, ports: [first, second] }: { readonly port: number; readonly ports: readonly [number, number] },
): Promise<Behaviour> {
  const mapped = await inside.seenByTcp(port, `${near.address}:${first}`)
  if (mapped === null) throw new Error('the NAT lets nothing out')
  // Before the others: once something listens at the port, no more can be dialled from it.
  const toSecond = await inside.seenByTcp(port, `${near.address}:${second}`)
  await inside.ask({ ask: 'tcpListen', port, host: '0.0.0.0' })
  const [fromPort, fromAddress] = await Promise.all([
    near.probe.seenByTcp(0, mapped, LET_IN_TIMEOUT_MS),
    far.probe.seenByTcp(0, mapped, LET_IN_TIMEOUT_MS),
  ])
  return describe(toSecond === mapped, {
    isOtherPortLetIn: fromPort !== null,
    isOtherAddressLetIn: fromAddress !== null,
  })
}

function describe(
  isMappingKept: boolean,
  letIn: { readonly isOtherPortLetIn: boolean; readonly isOtherAddressLetIn: boolean },
): Behaviour {
  return {
    mapping: isMappingKept ? 'endpoint-independent' : 'endpoint-dependent',
    filtering: letIn.isOtherAddressLetIn
      ? 'endpoint-independent'
      : letIn.isOtherPortLetIn
        ? 'address-dependent'
        : 'address-and-port-dependent',
  }
}
