/** A live node and peers that send anything but what they should: nothing reaches the process, honest peers go on. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { RPC_PROTOCOL } from '../../protocols/rpc/frame.ts'
import { startNetworkNode } from '../fake/network-node.ts'
import { stockLibp2p } from '../fake/stock-libp2p.ts'
import type { NetworkNode } from '../fake/network-node.ts'

const unexpected: unknown[] = []
const note = (error: unknown): void => void unexpected.push(error)
let node: NetworkNode
let client: Awaited<ReturnType<typeof stockLibp2p>>

before(async () => {
  process.on('unhandledRejection', note).on('uncaughtException', note)
  node = await startNetworkNode({ config: { handshakeTimeoutMs: 2_000 } })
  node.network.handleStreams('/echo/1', async (stream) => void (await stream.read()), {
    signal: AbortSignal.timeout(300_000),
  })
  client = await stockLibp2p()
})
after(async () => {
  await client.stop()
  await node.stop()
  process.off('unhandledRejection', note).off('uncaughtException', note)
})

function portOf(transport: 'tcp' | 'ws'): number {
  const address = node.network.addresses().find((each) => each.includes('/ws') === (transport === 'ws'))
  return Number(address?.split('/')[4])
}

async function expectHonest(): Promise<void> {
  for (const address of node.network.addresses()) {
    const connection = await client.dial(multiaddr(address), { signal: AbortSignal.timeout(30_000) })
    assert.ok((await client.services.ping.ping(connection.remotePeer)) >= 0)
    await connection.close()
  }
  assert.deepEqual(unexpected, [])
  assert.deepEqual(node.failures, [])
}

/** Sends the parts one after the other; then waits until the node has had enough, or goes at once in one way or another. */
async function send(port: number, parts: readonly Uint8Array[]): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port })
  socket.on('error', () => undefined)
  const closed = new Promise((resolve) => socket.once('close', resolve))
  await Promise.race([new Promise((resolve) => socket.once('connect', resolve)), closed])
  socket.resume()
  for (const part of parts) {
    if (!socket.destroyed) socket.write(part)
    await new Promise((resolve) => setImmediate(resolve))
  }
  const chance = randomBytes(1)[0] ?? 0
  if (chance % 4 === 0) socket.end()
  else if (chance % 4 === 1) socket.resetAndDestroy()
  await closed
}

const text = (value: string): Buffer => Buffer.from(value)
const multistream = text('\x13/multistream/1.0.0\n')
const noise = text('\x07/noise\n')
const upgrade = text(
  'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
)

describe('bytes nobody should send', () => {
  it('before and during the handshake over TCP', { timeout: 120_000 }, async () => {
    const cases: Uint8Array[][] = [
      [randomBytes(1)],
      [randomBytes(70_000)],
      [Buffer.alloc(200_000, 0xff)],
      [text('GET / HTTP/1.1\r\n\r\n')],
      [multistream],
      [multistream, randomBytes(300)],
      [multistream, text('\x7f'), randomBytes(3)],
      [multistream, noise],
      [multistream, noise, randomBytes(50)],
      [multistream, noise, Buffer.from([0xff, 0xff]), randomBytes(65_535)],
      [multistream, noise, Buffer.from([0, 0])],
      [multistream, noise, Buffer.from([0, 32]), randomBytes(32), Buffer.from([0, 200]), randomBytes(200)],
      ...Array.from({ length: 60 }, () => [multistream, noise, randomBytes(1 + (randomBytes(1)[0] ?? 0))]),
    ]
    await Promise.all(cases.map(async (parts) => await send(portOf('tcp'), parts)))
    await expectHonest()
  })

  it('before and during the handshake over WebSocket', { timeout: 120_000 }, async () => {
    const frame = (opcode: number, length: number): Buffer => Buffer.from([0x80 | opcode, 0x80 | length, 1, 2, 3, 4])
    const huge = Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0x7f, 0, 0, 0, 1, 2, 3, 4])
    const cases: Uint8Array[][] = [
      [randomBytes(100)],
      [text('GET / HTTP/1.1\r\n\r\n')],
      [text(`GET / HTTP/1.1\r\nHost: ${'x'.repeat(100_000)}\r\n\r\n`)],
      [text('POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n'), randomBytes(1_000)],
      [upgrade],
      [upgrade, huge, randomBytes(5_000)],
      [upgrade, Buffer.from([0x82, 5, 1, 2, 3, 4, 5])],
      [upgrade, frame(0x3, 4), randomBytes(4)],
      [upgrade, frame(0x8, 1), randomBytes(1)],
      [upgrade, frame(0x1, 8), randomBytes(8)],
      [upgrade, frame(0x2, 120), randomBytes(120)],
      ...Array.from({ length: 40 }, () => [upgrade, randomBytes(1 + (randomBytes(1)[0] ?? 0))]),
    ]
    await Promise.all(cases.map(async (parts) => await send(portOf('ws'), parts)))
    await expectHonest()
  })

  it('on streams of an authenticated peer', { timeout: 120_000 }, async () => {
    const address = multiaddr(node.network.addresses()[0] ?? '')
    const protocols = ['/ipfs/ping/1.0.0', '/ipfs/id/1.0.0', RPC_PROTOCOL, '/echo/1', '/none/1']
    for (let round = 0; round < 12; round += 1) {
      const connection = await client.dial(address, { signal: AbortSignal.timeout(30_000) })
      for (const protocol of protocols) {
        try {
          const stream = await connection.newStream(protocol, { signal: AbortSignal.timeout(30_000) })
          stream.addEventListener('message', () => undefined)
          stream.send(new Uint8Array(randomBytes(1 + round * 997)))
          if (round % 3 === 0) await stream.close({ signal: AbortSignal.timeout(200) })
          else if (round % 3 === 1) stream.abort(new Error('enough'))
        } catch {
          // Refused or reset, as it should be.
        }
      }
      if (round % 4 === 0) connection.abort(new Error('enough'))
      else await connection.close()
    }
    await expectHonest()
  })
})
