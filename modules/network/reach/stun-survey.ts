/**
 * What a NAT does with datagrams, asked of STUN servers (RFC 5780 §4.3 and §4.4): how it maps, by what servers see of one
 * socket at several of their addresses; whom it lets in, by answers from addresses that nothing was sent to.
 */
import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { sleep } from '../../../kernel/index.ts'
import {
  ATTRIBUTE,
  changeRequest,
  decodeStun,
  encodeStun,
  endpointOf,
  mappedAddressOf,
  TRANSACTION_BYTES,
  TYPE,
  valueOf,
} from '../../../protocols/stun/message.ts'
import { isPublic } from '../public-hosts.ts'
import { addressTowards } from './gateway.ts'
import { MAX_STUN_SERVERS } from './stun-servers.ts'
import type { Socket } from 'node:dgram'
import type { Clock, Logger, Random } from '../../../kernel/index.ts'
import type { Attribute, Endpoint, StunMessage } from '../../../protocols/stun/message.ts'

/** RFC 8489 §6.2.1: the first wait, doubled with each try. */
const FIRST_WAIT_MS = 500
const TRIES = 3
const AGAIN_MS = 1_800_000

/** RFC 4787 §4.1; `none`: the server sees an address of this machine. */
export type UdpMapping =
  | 'none'
  | 'endpoint-independent'
  | 'address-dependent'
  | 'address-and-port-dependent'
  | 'unknown'
/** RFC 4787 §5. */
export type UdpFiltering = 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent' | 'unknown'

/** What one server has shown. */
export interface StunFinding {
  readonly server: string
  readonly state: 'trying' | 'answered' | 'silent'
  /** `192.0.2.7:4001`, as the server sees a socket of this machine; `null` when it does not answer. */
  readonly address: string | null
  readonly mapping: UdpMapping
  /** `unknown` also of a server with one address only: it cannot try. */
  readonly filtering: UdpFiltering
}

export interface StunSurveyServices {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

export class StunSurvey {
  readonly #services: StunSurveyServices
  readonly #findings: Map<string, StunFinding>
  #stopped: AbortSignal = AbortSignal.abort()

  /** `servers`: `stun.example.org:3478`; at most MAX_STUN_SERVERS. */
  constructor(services: StunSurveyServices, servers: readonly string[]) {
    this.#services = services
    const unknown = { state: 'trying', address: null, mapping: 'unknown', filtering: 'unknown' } as const
    this.#findings = new Map(servers.slice(0, MAX_STUN_SERVERS).map((server) => [server, { server, ...unknown }]))
  }

  /** Asks now, and every half an hour until `signal` aborts. */
  start(signal: AbortSignal): void {
    this.#stopped = signal
    if (this.#findings.size > 0) void this.#keep()
  }

  report(): readonly StunFinding[] {
    return [...this.#findings.values()]
  }

  async #keep(): Promise<void> {
    const { clock, log } = this.#services
    while (!this.#stopped.aborted) {
      for (const server of this.#findings.keys()) {
        try {
          this.#findings.set(server, await survey(server, this.#services, this.#stopped))
        } catch (error) {
          if (this.#stopped.aborted) return
          log.debug('network.stunFailed', { server, error })
          this.#findings.set(server, silent(server))
        }
      }
      await sleep(clock, AGAIN_MS, { signal: this.#stopped }).catch(() => undefined)
    }
  }
}

/** @throws when the name of the server is unknown or there is no way to it */
export async function survey(
  text: string,
  services: Pick<StunSurveyServices, 'clock' | 'random'>,
  signal: AbortSignal,
): Promise<StunFinding> {
  const at = text.lastIndexOf(':')
  const { address: host } = await lookup(text.slice(0, at), { family: 4 })
  const server = { host, port: Number(text.slice(at + 1)) }
  const own = await addressTowards(host)
  await using mappingSocket = await open(services)
  const first = await mappingSocket.ask(server, { signal })
  const seen = first === null ? null : mappedAddressOf(first)
  if (first === null || seen === null) return silent(text)
  const address = textOf(seen)
  const otherValue = valueOf(first, ATTRIBUTE.otherAddress)
  const other = otherValue === undefined ? null : endpointOf(otherValue)
  // A server's word must not make this node send to machines of its own network.
  const isUsable =
    other !== null && other.host !== host && other.port !== server.port && (isPublic(other.host) || !isPublic(host))
  if (!isUsable) {
    const mapping = seen.host === own ? 'none' : 'unknown'
    return { server: text, state: 'answered', address, mapping, filtering: 'unknown' }
  }
  const seenAt = async (to: Endpoint): Promise<string | null> => {
    const answer = await mappingSocket.ask(to, { signal })
    const mapped = answer === null ? null : mappedAddressOf(answer)
    return mapped === null ? null : textOf(mapped)
  }
  const mapping = seen.host === own ? 'none' : await mappingOf(address, seenAt, { server, other })
  // From a socket that has sent to no other address of the server.
  await using filterSocket = await open(services)
  return {
    server: text,
    state: 'answered',
    address,
    mapping,
    filtering: await filteringOf(filterSocket, { server, other }, signal),
  }
}

interface Servers {
  readonly server: Endpoint
  readonly other: Endpoint
}

async function mappingOf(
  first: string,
  seenAt: (to: Endpoint) => Promise<string | null>,
  { server, other }: Servers,
): Promise<UdpMapping> {
  const second = await seenAt({ host: other.host, port: server.port })
  if (second === null || second === first) return second === null ? 'unknown' : 'endpoint-independent'
  const third = await seenAt(other)
  if (third === null) return 'unknown'
  return third === second ? 'address-dependent' : 'address-and-port-dependent'
}

async function filteringOf(socket: StunSocket, { server, other }: Servers, signal: AbortSignal): Promise<UdpFiltering> {
  const fromOther = await socket.ask(server, {
    attributes: [changeRequest({ host: true, port: true })],
    from: other,
    signal,
  })
  if (fromOther !== null) return 'endpoint-independent'
  const from = { host: server.host, port: other.port }
  const fromPort = await socket.ask(server, { attributes: [changeRequest({ host: false, port: true })], from, signal })
  if (fromPort !== null) return 'address-dependent'
  // That nothing came could also be that nothing went out.
  return (await socket.ask(server, { signal })) === null ? 'unknown' : 'address-and-port-dependent'
}

interface StunSocket extends AsyncDisposable {
  /** The answer to one request, from where it should come; `null` without one. */
  ask(
    to: Endpoint,
    options: { readonly attributes?: readonly Attribute[]; readonly from?: Endpoint; readonly signal: AbortSignal },
  ): Promise<StunMessage | null>
}

async function open({ clock, random }: Pick<StunSurveyServices, 'clock' | 'random'>): Promise<StunSocket> {
  const socket: Socket = createSocket('udp4')
  // What a router says of a closed port is no answer, and ends nothing.
  socket.on('error', () => undefined)
  await once(socket.bind(0), 'listening')
  return {
    async ask(to, { attributes = [], from = to, signal }) {
      const transaction = random.bytes(TRANSACTION_BYTES)
      const request = encodeStun({ type: TYPE.request, transaction, attributes })
      const answered = Promise.withResolvers<StunMessage>()
      const onMessage = (bytes: Uint8Array, { address, port }: { address: string; port: number }): void => {
        const message = address === from.host && port === from.port ? decodeStun(bytes) : null
        if (message?.type === TYPE.success && Buffer.compare(message.transaction, transaction) === 0)
          answered.resolve(message)
      }
      socket.on('message', onMessage)
      try {
        for (let at = 0; at < TRIES && !signal.aborted; at += 1) {
          socket.send(request, to.port, to.host, () => undefined)
          const waited = new AbortController()
          const wait = sleep(clock, FIRST_WAIT_MS * 2 ** at, { signal: AbortSignal.any([signal, waited.signal]) })
          const none = wait.then(
            () => null,
            () => null,
          )
          const answer = await Promise.race([answered.promise, none]).finally(() => waited.abort())
          if (answer !== null) return answer
        }
        return null
      } finally {
        socket.off('message', onMessage)
      }
    },
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve) => socket.close(() => resolve()))
    },
  }
}

function silent(server: string): StunFinding {
  return { server, state: 'silent', address: null, mapping: 'unknown', filtering: 'unknown' }
}

function textOf({ host, port }: Endpoint): string {
  return `${host}:${port}`
}
