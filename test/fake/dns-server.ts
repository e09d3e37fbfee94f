/** A DNS server on loopback, over UDP and TCP at one port, that says what a test wants it to say. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import type { RecordType } from '../../protocols/dns/message.ts'

export interface Asked {
  readonly id: number
  readonly name: string
  readonly type: number
  readonly transport: 'udp' | 'tcp'
}

export interface Said {
  readonly code?: number
  readonly isAuthenticated?: boolean
  readonly isTruncated?: boolean
  readonly records?: ReadonlyArray<{ readonly type: RecordType; readonly data: Uint8Array; readonly name?: string }>
}

export interface FakeDnsServer extends AsyncDisposable {
  /** `127.0.0.1:5353` */
  readonly address: string
  readonly asked: Asked[]
}

/** Each message in the list is sent as one datagram; over TCP only the last, and none resets the connection. */
export async function fakeDnsServer(answer: (asked: Asked) => readonly Uint8Array[]): Promise<FakeDnsServer> {
  const asked: Asked[] = []
  const answers = (bytes: Uint8Array, transport: Asked['transport']): readonly Uint8Array[] => {
    const question = { ...questionIn(bytes), transport }
    asked.push(question)
    return answer(question)
  }
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('data', (bytes) => {
      const last = answers(bytes.subarray(2), 'tcp').at(-1)
      if (last === undefined) socket.resetAndDestroy()
      else socket.write(Buffer.concat([u16(last.length), last]))
    })
  })
  const udp = createSocket('udp4')
  udp.on('message', (bytes, from) => {
    for (const each of answers(bytes, 'udp')) udp.send(each, from.port, from.address)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  await once(udp.bind(port, '127.0.0.1'), 'listening')
  return {
    address: `127.0.0.1:${port}`,
    asked,
    async [Symbol.asyncDispose]() {
      udp.close()
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** An answer to the question; names in records are those asked for unless they say otherwise. */
export function dnsAnswer({ id, name, type }: Pick<Asked, 'id' | 'name' | 'type'>, said: Said): Uint8Array {
  const { records = [], code = 0, isAuthenticated = false, isTruncated = false } = said
  const flags = 0x8180 | code | (isAuthenticated ? 0x20 : 0) | (isTruncated ? 0x200 : 0)
  const parts = [u16(id), u16(flags), u16(1), u16(records.length), u16(0), u16(0)]
  parts.push(nameBytes(name), u16(type), u16(1))
  for (const record of records) {
    const owner = record.name === undefined ? u16(0xc00c) : nameBytes(record.name)
    parts.push(owner, u16(record.type), u16(1), u16(0), u16(300), u16(record.data.length), record.data)
  }
  return new Uint8Array(Buffer.concat(parts))
}

export function txt(...strings: readonly string[]): { readonly type: 16; readonly data: Uint8Array } {
  const data = Buffer.concat(strings.map((text) => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)])))
  return { type: 16, data: new Uint8Array(data) }
}

export function srv(target: string, port: number, priority = 0): { readonly type: 33; readonly data: Uint8Array } {
  return { type: 33, data: new Uint8Array(Buffer.concat([u16(priority), u16(0), u16(port), nameBytes(target)])) }
}

export function nameBytes(name: string): Uint8Array {
  const labels = name === '' ? [] : name.split('.')
  return new Uint8Array(
    Buffer.concat([
      ...labels.map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`)),
      Buffer.of(0),
    ]),
  )
}

function questionIn(bytes: Uint8Array): Pick<Asked, 'id' | 'name' | 'type'> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const labels: string[] = []
  let at = 12
  for (let size = bytes[at] ?? 0; size > 0; size = bytes[at] ?? 0) {
    labels.push(Buffer.from(bytes.subarray(at + 1, at + 1 + size)).toString())
    at += 1 + size
  }
  return { id: view.getUint16(0), name: labels.join('.'), type: view.getUint16(at + 1) }
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff)
}
