/**
 * A TCP relay that keeps every byte of both directions in a file: what somebody on the wire could see. It can hold
 * what follows, so that a test stops a transfer at a place of its choice however fast the machine is.
 */
import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

export interface WireTap extends AsyncDisposable {
  readonly port: number
  /** Bytes seen so far, both directions. */
  bytes(): number
  /**
   * Lets `count` more bytes through and nothing after them, also of later connections, until `release`. Resolves when
   * they have gone through; a piece or two may follow.
   */
  holdAfter(count: number): Promise<void>
  /** Carries on where `holdAfter` stopped. */
  release(): void
  /** Closes the relay; the file then holds everything. */
  finish(): Promise<void>
}

export async function createWireTap(target: number, file: string): Promise<WireTap> {
  const record = createWriteStream(file)
  const sockets = new Set<Socket>()
  let count = 0
  const hold = { from: Number.POSITIVE_INFINITY, begun: Promise.withResolvers<void>() }
  /** Sockets that are read no further until the release. */
  const held = new Set<Socket>()
  const goOn = (from: Socket): void => {
    if (count < hold.from) from.resume()
    else held.add(from)
  }
  const carry = (from: Socket, to: Socket): void => {
    from.on('data', (bytes) => {
      count += bytes.length
      const hasRoom = to.write(bytes)
      const isRecorded = record.write(bytes)
      if (count >= hold.from) hold.begun.resolve()
      else if (hasRoom && isRecorded) return
      from.pause()
      const waits: Array<Promise<unknown>> = []
      if (!hasRoom) waits.push(once(to, 'drain'))
      if (!isRecorded) waits.push(once(record, 'drain'))
      void Promise.all(waits).then(
        () => goOn(from),
        () => from.destroy(),
      )
    })
    from.on('end', () => to.end())
    from.on('error', () => to.destroy())
    from.on('close', () => {
      sockets.delete(from)
      held.delete(from)
      to.destroy()
    })
  }
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true })
    for (const socket of [near, far]) sockets.add(socket)
    carry(near, far)
    carry(far, near)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  let isFinished = false
  const finish = async (): Promise<void> => {
    if (isFinished) return
    isFinished = true
    for (const socket of sockets) socket.destroy()
    server.close()
    record.end()
    await once(record, 'finish')
  }
  return {
    port: (server.address() as AddressInfo).port,
    bytes: () => count,
    holdAfter: async (more) => {
      hold.from = count + more
      hold.begun = Promise.withResolvers()
      await hold.begun.promise
    },
    release: () => {
      hold.from = Number.POSITIVE_INFINITY
      for (const socket of held) socket.resume()
      held.clear()
    },
    finish,
    [Symbol.asyncDispose]: finish,
  }
}

const WINDOW_BYTES = 16
const TABLE_BITS = 2 ** 24

/** Where in the file any 16 bytes that follow each other in `secret` occur; `null` when nowhere. */
export async function findAnyWindow(file: string, secret: Uint8Array): Promise<number | null> {
  const table = new Uint8Array(TABLE_BITS / 8)
  const windows = new Set<string>()
  for (let i = 0; i + WINDOW_BYTES <= secret.length; i++) {
    const start = keyAt(secret, i)
    table[start >> 3] = (table[start >> 3] ?? 0) | (1 << (start & 7))
    windows.add(Buffer.from(secret.subarray(i, i + WINDOW_BYTES)).toString('latin1'))
  }
  let rest = Buffer.alloc(0)
  let offset = 0
  for await (const chunk of createReadStream(file, { highWaterMark: 4_194_304 }) as AsyncIterable<Buffer>) {
    const bytes = Buffer.concat([rest, chunk])
    const last = bytes.length - WINDOW_BYTES
    for (let i = 0; i <= last; i++) {
      const key = keyAt(bytes, i)
      if (((table[key >> 3] ?? 0) & (1 << (key & 7))) === 0) continue
      if (windows.has(bytes.toString('latin1', i, i + WINDOW_BYTES))) return offset + i
    }
    rest = bytes.subarray(Math.max(0, last + 1))
    offset += bytes.length - rest.length
  }
  return null
}

function keyAt(bytes: Uint8Array, i: number): number {
  return ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0)
}
