/** A port that passes everything on to another, and listens in: what a capture at a node would show. */
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'

export interface Tap {
  readonly port: number
  /** In both directions. */
  readonly passedBytes: number
  /** Whether the text that is watched for came by, in either direction of any connection. */
  readonly hasSeen: boolean
  watchFor(text: string): void
  close(): Promise<void>
}

export async function listenIn(target: number): Promise<Tap> {
  const sockets = new Set<Socket>()
  let needle: Buffer | null = null
  let passedBytes = 0
  let hasSeen = false
  const pass = (from: Socket, to: Socket): void => {
    let rest: Buffer = Buffer.alloc(0)
    from.on('data', (bytes: Buffer) => {
      passedBytes += bytes.length
      if (needle === null) return
      const seen = Buffer.concat([rest, bytes])
      hasSeen ||= seen.includes(needle)
      rest = seen.subarray(-needle.length)
    })
    from.pipe(to)
    from.on('close', () => to.destroy())
    from.on('error', () => to.destroy())
  }
  const server = createServer((inbound) => {
    const outbound = connect(target, '127.0.0.1')
    for (const socket of [inbound, outbound]) {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
    }
    pass(inbound, outbound)
    pass(outbound, inbound)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    port: address.port,
    get passedBytes() {
      return passedBytes
    },
    get hasSeen() {
      return hasSeen
    },
    watchFor(text) {
      needle = Buffer.from(text)
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
