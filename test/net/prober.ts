/**
 * Runs on a machine of the lab and does as told over the IPC channel: opens sockets, tells each caller which address it
 * is seen under, says what arrived. Started by `probe.ts`.
 */
import { createSocket } from 'node:dgram'
import { connect, createServer } from 'node:net'
import type { Socket as UdpSocket } from 'node:dgram'
import type { Asked, Question } from './probe.ts'

const udp = new Map<number, UdpSocket>()
const received: { port: number; from: string; text: string }[] = []
let newcomer = Promise.withResolvers<void>()

const answers: { readonly [Q in Question['ask']]: (question: Extract<Question, { ask: Q }>) => Promise<unknown> } = {
  async udpOpen({ port }) {
    const socket = createSocket('udp4')
    socket.on('message', (bytes, { address, port: fromPort }) => {
      const from = `${address}:${fromPort}`
      if (bytes.toString() === 'who am I') return socket.send(`you are ${from}`, fromPort, address)
      received.push({ port, from, text: bytes.toString() })
      newcomer.resolve()
    })
    await new Promise<void>((resolve) => socket.bind(port, '0.0.0.0', resolve))
    udp.set(port, socket)
  },
  async udpSend({ port, to, text }) {
    const [host, toPort] = split(to)
    await new Promise((resolve) => udp.get(port)?.send(text, toPort, host, resolve))
  },
  async udpReceived({ text }) {
    for (;;) {
      const found = received.find((each) => each.text.startsWith(text))
      if (found !== undefined) return received.splice(0)
      await newcomer.promise
      newcomer = Promise.withResolvers()
    }
  },
  async tcpListen({ port, host }) {
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.end(`you are ${socket.remoteAddress?.replace('::ffff:', '') ?? ''}:${socket.remotePort ?? 0}`)
    })
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve))
  },
  /** What the other end says; `null` when nothing came about in the time given. */
  async tcpAsk({ to, localPort, timeoutMs }) {
    const [host, port] = split(to)
    return await new Promise((resolve) => {
      const socket = connect({ host, port, localPort, signal: AbortSignal.timeout(timeoutMs) })
      socket.once('error', () => resolve(null))
      socket.once('data', (bytes) => resolve(bytes.toString().replace('you are ', '')))
    })
  },
}

/** `45.0.0.10:4001`, `[2a0e::1]:4001` */
function split(address: string): [string, number] {
  const at = address.lastIndexOf(':')
  return [address.slice(0, at).replace(/^\[|\]$/g, ''), Number(address.slice(at + 1))]
}

process.on('message', ({ id, question }: Asked) => {
  const answer = answers[question.ask] as (question: Question) => Promise<unknown>
  answer(question).then(
    (value) => process.send?.({ id, value: value ?? null }),
    (error: unknown) => process.send?.({ id, error: String(error) }),
  )
})
process.on('disconnect', () => process.exit(0))
process.send?.({ ready: true })
