/**
 * Questions to a DNS resolver: over UDP, over TCP when the answer does not fit, or over HTTPS (RFC 8484). Node's own
 * resolver tells neither whether an answer was authenticated nor bounds what it reads.
 */
import { createSocket } from 'node:dgram'
import { readFile } from 'node:fs/promises'
import { request as httpsRequest } from 'node:https'
import { connect, isIP } from 'node:net'
import { deadline, isNzError, orAbort, sleep } from '../../../kernel/index.ts'
import { canonicalName, decodeAnswer, encodeQuestion, MAX_MESSAGE_BYTES, TYPE } from '../../../protocols/dns/message.ts'
import { isLoopback } from '../address.ts'
import { dnsErrors } from './errors.ts'
import type { ConnectionOptions } from 'node:tls'
import type { Clock, Random } from '../../../kernel/index.ts'
import type { Answer, Question, Resource } from '../../../protocols/dns/message.ts'

/** Of one server over UDP, before it is asked again, and then the next one. */
const ANSWER_WAIT_MS = 1_500
const TRIES = 2
/** Of one server over TCP, the connection included. */
const TCP_WAIT_MS = 3_000
const MAX_SERVERS = 3
const NO_SUCH_NAME = 3

export interface DnsResolverOptions {
  /** `192.0.2.1` or `192.0.2.1:53`, `[2001:db8::1]:53`; none: those of the system. */
  readonly servers: readonly string[]
  /** `https://…`; in place of servers. */
  readonly https: string | null
  /** For one question, all servers and tries together. */
  readonly timeoutMs: number
  /** In place of the authorities of the system, and of the name in `https`. */
  readonly tls?: Pick<ConnectionOptions, 'ca' | 'servername'>
}

export interface Resolved {
  readonly resources: readonly Resource[]
  /**
   * DNSSEC: the resolver says it has checked, and its word came over HTTPS or from this machine; from elsewhere anybody
   * on the way could have said so.
   */
  readonly isAuthenticated: boolean
}

export class DnsResolver {
  readonly #services: { readonly clock: Clock; readonly random: Random }
  readonly #options: DnsResolverOptions
  #mismatched = 0

  constructor(services: { readonly clock: Clock; readonly random: Random }, options: DnsResolverOptions) {
    this.#services = services
    this.#options = options
  }

  /** Datagrams that answered another question than the one asked: late ones, or forged. */
  get mismatched(): number {
    return this.#mismatched
  }

  /** What there is of `type` at `name`, CNAMEs followed by the resolver. Nothing for a name that does not exist. @throws NZ_DNS_FAILED */
  async resolve(name: string, type: keyof typeof TYPE, given: AbortSignal): Promise<Resolved> {
    const { clock } = this.#services
    using limit = deadline(clock, this.#options.timeoutMs, { signal: given })
    const { signal } = limit
    try {
      if (this.#options.https !== null)
        return this.#read(
          await this.#byHttps({ id: 0, name, type: TYPE[type] }, this.#options.https, signal),
          type,
          true,
        )
      for (const server of await this.#servers()) {
        const answer = await this.#ask(server, name, type, signal)
        if (answer !== null) return this.#read(answer, type, isLoopback(server.host))
      }
      throw dnsErrors.NZ_DNS_FAILED({ why: 'no resolver answered', data: { name } })
    } catch (cause) {
      given.throwIfAborted()
      if (isNzError(cause)) throw cause
      throw dnsErrors.NZ_DNS_FAILED({ cause, data: { name } })
    }
  }

  #read({ code, resources, isAuthenticated }: Answer, type: keyof typeof TYPE, isTrusted: boolean): Resolved {
    if (code !== 0 && code !== NO_SUCH_NAME)
      throw dnsErrors.NZ_DNS_FAILED({ why: `the resolver answered code ${code}` })
    return { resources: resources.filter((each) => each.type === type), isAuthenticated: isAuthenticated && isTrusted }
  }

  async #servers(): Promise<ReadonlyArray<{ readonly host: string; readonly port: number }>> {
    const { servers } = this.#options
    const named = servers.length > 0 ? servers : await systemServers()
    return named.slice(0, MAX_SERVERS).map(serverOf)
  }

  async #ask(
    server: { readonly host: string; readonly port: number },
    name: string,
    type: keyof typeof TYPE,
    signal: AbortSignal,
  ): Promise<Answer | null> {
    for (let at = 0; at < TRIES; at += 1) {
      signal.throwIfAborted()
      const id = Buffer.from(this.#services.random.bytes(2)).readUInt16BE()
      const question: Question = { id, name, type: TYPE[type] }
      const answer = await this.#byUdp(question, server, signal)
      if (answer?.isTruncated === true) {
        using limit = deadline(this.#services.clock, TCP_WAIT_MS, { signal })
        return await byTcp(question, server, limit.signal)
      }
      if (answer !== null) return answer
    }
    return null
  }

  /** From a port of the system's choice, chosen anew: whoever forges an answer has to guess it, and the number. */
  async #byUdp(
    question: Question,
    { host, port }: { readonly host: string; readonly port: number },
    signal: AbortSignal,
  ): Promise<Answer | null> {
    const socket = createSocket(isIP(host) === 6 ? 'udp6' : 'udp4')
    const answered = Promise.withResolvers<Answer | null>()
    const waited = new AbortController()
    try {
      socket.on('error', () => answered.resolve(null))
      socket.on('message', (bytes) => {
        const answer = answerTo(question, bytes)
        if (answer === null) this.#mismatched += 1
        else answered.resolve(answer)
      })
      socket.connect(port, host, () =>
        socket.send(encodeQuestion(question), (error) => {
          if (error !== null) answered.resolve(null)
        }),
      )
      const wait = sleep(this.#services.clock, ANSWER_WAIT_MS, { signal: AbortSignal.any([signal, waited.signal]) })
      return await Promise.race([answered.promise, wait.then(() => null)])
    } finally {
      waited.abort()
      socket.close()
    }
  }

  async #byHttps(question: Question, url: string, signal: AbortSignal): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const headers = { accept: 'application/dns-message', 'content-type': 'application/dns-message' }
    const options = { method: 'POST', headers, signal, agent: false, ...this.#options.tls }
    // A redirection is an answer without a message: not followed.
    const request = httpsRequest(url, options, (response) => {
      const parts: Buffer[] = []
      let length = 0
      response.on('data', (part: Buffer) => {
        length += part.length
        if (length > MAX_MESSAGE_BYTES) request.destroy(new Error('the answer is too long'))
        else parts.push(part)
      })
      response.on('error', reject)
      response.on('end', () => {
        const answer = response.statusCode === 200 ? answerTo(question, Buffer.concat(parts)) : null
        if (answer === null) reject(new Error(`no answer in a response of status ${response.statusCode ?? 0}`))
        else resolve(answer)
      })
    })
    request.on('error', reject)
    request.end(encodeQuestion(question))
    return await promise
  }
}

/** Two bytes of length before each message (RFC 7766 §8). `null` when nothing comes, or what answers something else. */
async function byTcp(
  question: Question,
  { host, port }: { readonly host: string; readonly port: number },
  signal: AbortSignal,
): Promise<Answer | null> {
  const socket = connect({ host, port })
  const { promise, resolve } = Promise.withResolvers<Answer | null>()
  let received = Buffer.alloc(0)
  socket.on('error', () => resolve(null))
  socket.on('end', () => resolve(null))
  socket.on('data', (part: Buffer) => {
    received = Buffer.concat([received, part])
    const length = received.length < 2 ? Infinity : received.readUInt16BE()
    if (received.length >= length + 2) resolve(answerTo(question, received.subarray(2, length + 2)))
  })
  const asked = encodeQuestion(question)
  socket.write(Buffer.concat([Uint8Array.of(asked.length >> 8, asked.length & 0xff), asked]))
  try {
    return await orAbort(promise, signal).catch(() => null)
  } finally {
    socket.destroy()
  }
}

/** `null` unless it repeats the number and the question. */
function answerTo({ id, name, type }: Question, bytes: Uint8Array): Answer | null {
  const answer = decodeAnswer(bytes)
  return answer?.id === id && answer.name === canonicalName(name) && answer.type === type ? answer : null
}

/** resolv.conf(5); the resolver of this machine where the file names none. */
async function systemServers(): Promise<readonly string[]> {
  const text = await readFile('/etc/resolv.conf', 'utf8').catch(() => '')
  const named = [...text.matchAll(/^nameserver\s+([^\s%]+)/gm)].map(([, server = '']) => server)
  return named.length > 0 ? named : ['127.0.0.1']
}

/** `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1`, `[2001:db8::1]:5353` */
export function serverOf(text: string): { readonly host: string; readonly port: number } {
  if (isIP(text) !== 0) return { host: text, port: 53 }
  const [, host = '', port = '53'] = /^\[?([^\]]*?)\]?(?::(\d+))?$/.exec(text) ?? []
  return { host, port: Number(port) }
}
