/** The router of this machine: which one it is, and questions to it in single datagrams. IPv4. */
import { createSocket } from 'node:dgram'
import { readFile } from 'node:fs/promises'
import { sleep } from '../../../kernel/index.ts'
import type { Clock } from '../../../kernel/index.ts'

/** RFC 6886 §3.1: the first wait for an answer, doubled with each try. */
const FIRST_WAIT_MS = 250

export interface GatewayQuestion<Answer> {
  readonly gateway: string
  readonly port: number
  readonly question: Uint8Array
  /** How often it is sent; the waits between double. */
  readonly tries: number
  /** `null` for a datagram that does not answer the question. */
  readonly decode: (bytes: Uint8Array) => Answer | null
}

/** Of the routing table of Linux (proc(5), net/route); `null` elsewhere. */
export async function defaultGateway(): Promise<string | null> {
  const table = await readFile('/proc/net/route', 'utf8').catch(() => '')
  for (const line of table.split('\n').slice(1)) {
    const [, destination, gateway] = line.split('\t')
    if (destination !== '00000000' || gateway === undefined || !/^[0-9A-F]{8}$/i.test(gateway)) continue
    return [6, 4, 2, 0].map((at) => Number.parseInt(gateway.slice(at, at + 2), 16)).join('.')
  }
  return null
}

/** The address this machine sends from to another. @throws what the system says when there is no way */
export async function addressTowards(host: string): Promise<string> {
  const socket = createSocket('udp4')
  try {
    // Port 9 of UDP: nothing is sent.
    await connected(socket, 9, host)
    return socket.address().address
  } finally {
    socket.close()
  }
}

/** `null` without an answer, also when the router says that nothing listens there. */
export async function askGateway<Answer>(
  { gateway, port, question, tries, decode }: GatewayQuestion<Answer>,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<Answer | null> {
  const socket = createSocket('udp4')
  try {
    const { promise, resolve } = Promise.withResolvers<Answer | null>()
    socket.on('error', () => resolve(null))
    socket.on('message', (bytes) => {
      const answer = decode(bytes)
      if (answer !== null) resolve(answer)
    })
    // Only the router may answer.
    await connected(socket, port, gateway)
    for (let at = 0; at < tries && !signal.aborted; at += 1) {
      // A port that is closed is told as an error of the next send.
      socket.send(question, (error) => {
        if (error !== null) resolve(null)
      })
      const waited = new AbortController()
      const wait = sleep(clock, FIRST_WAIT_MS * 2 ** at, { signal: AbortSignal.any([signal, waited.signal]) })
      const answer = await Promise.race([
        promise.then((value) => ({ value })),
        wait.then(
          () => null,
          () => null,
        ),
      ]).finally(() => waited.abort())
      if (answer !== null) return answer.value
    }
    return null
  } finally {
    socket.close()
  }
}

async function connected(socket: ReturnType<typeof createSocket>, port: number, host: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once('error', reject)
  socket.connect(port, host, () => resolve())
  await promise
}
