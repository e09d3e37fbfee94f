/** What the secured stream offers to muxers: the socket below it, the direct port, and to be taken over. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, it } from 'node:test'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { tcp } from '@libp2p/tcp'
import { multiaddrConnectionPair } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { isNzError } from '../../../kernel/index.ts'
import { direct, isDirect } from '../../../modules/network/noise/direct.ts'
import { noiseEncrypter } from '../../../modules/network/noise/encrypter.ts'
import { recordSocketOf } from '../../../modules/network/noise/record-socket.ts'
import { canBeTakenOver, takeOver } from '../../../modules/network/noise/take-over.ts'
import { CipherState } from '../../../protocols/noise/cipher-state.ts'
import { frameMessage } from '../../../protocols/noise/record.ts'
import type { Connection, MessageStream } from '@libp2p/interface'
import type { AddressInfo } from 'node:net'

async function securedPair(): Promise<[MessageStream, MessageStream]> {
  const [outbound, inbound] = multiaddrConnectionPair()
  const upgrader = { getStreamMuxers: () => new Map() }
  const encrypters = await Promise.all(
    [1, 2].map(async () => noiseEncrypter()({ privateKey: await generateKeyPair('Ed25519'), upgrader })),
  )
  const [here, there] = await Promise.all([
    encrypters[0]?.secureOutbound(outbound),
    encrypters[1]?.secureInbound(inbound),
  ])
  assert.ok(here && there)
  return [here.connection, there.connection]
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve))
}

describe('a secured stream', () => {
  it('passes records through its direct port, also those that came before it was asked for', async () => {
    const [here, there] = await securedPair()
    here.send(Buffer.from('early '))
    await until(() => there.readBufferLength === 6)
    assert.ok(isDirect(there) && isDirect(here))
    let heard = ''
    const port = there[direct]({ onPlaintext: (bytes) => (heard += Buffer.from(bytes)), onDrain: () => undefined })
    here[direct]({ onPlaintext: () => undefined, onDrain: () => undefined }).write(
      [Buffer.from('in '), Buffer.from('parts')],
      8,
    )
    await until(() => heard.length === 14)
    assert.equal(heard, 'early in parts')
    assert.equal(port.rxRecords, 2)
  })

  it('sends what waits to be flushed before what its direct port is given', async () => {
    const [here, there] = await securedPair()
    let heard = ''
    there.addEventListener('message', ({ data }) => (heard += Buffer.from(data.subarray())))
    for (const word of ['one ', 'two ']) {
      here.send(Buffer.from(word))
      // The second waits for the end of the turn.
      await Promise.resolve()
    }
    assert.ok(isDirect(here))
    here[direct]({ onPlaintext: () => undefined, onDrain: () => undefined }).write([Buffer.from('three')], 5)
    await until(() => heard.length === 13)
    assert.equal(heard, 'one two three')
  })

  it('is taken over once, with what was not delivered, and seals and opens nothing afterwards', async () => {
    const [here, there] = await securedPair()
    here.send(Buffer.from('not read'))
    await until(() => there.readBufferLength === 8)
    assert.ok(canBeTakenOver(there))
    const taken = there[takeOver]()
    assert.ok(taken)
    assert.equal(Buffer.from(taken.plaintext).toString(), 'not read')
    assert.deepEqual([taken.receiver.count, taken.sender.count, taken.sealed.byteLength], [1, 0, 0])
    assert.equal(there[takeOver](), null)
    const sender = new CipherState(taken.sender.key, { count: taken.sender.count })
    let heard = ''
    here.addEventListener('message', ({ data }) => (heard += Buffer.from(data.subarray())))
    taken.connection.send(frameMessage(sender.seal(Buffer.from('from the new owner'))))
    await until(() => heard === 'from the new owner')
    const port = isDirect(there) ? there[direct]({ onPlaintext: () => undefined, onDrain: () => undefined }) : null
    assert.throws(
      () => port?.write([Buffer.from('twice the same nonce')], 20),
      (error) => isNzError(error, 'NZ_NOISE_EXHAUSTED'),
    )
  })

  it('is not taken over while a muxer uses it', async () => {
    const [here] = await securedPair()
    assert.ok(isDirect(here) && canBeTakenOver(here))
    here[direct]({ onPlaintext: () => undefined, onDrain: () => undefined })
    assert.equal(here[takeOver](), null)
  })
})

it('the socket of a connection of @libp2p/tcp is found where this version keeps it', async () => {
  const server = createServer((socket) => socket.on('error', () => socket.destroy()).pipe(socket)).listen(
    0,
    '127.0.0.1',
  )
  await once(server, 'listening')
  const address = multiaddr(`/ip4/127.0.0.1/tcp/${(server.address() as AddressInfo).port}`)
  const connections: MessageStream[] = []
  const upgrader = { upgradeOutbound: async (made: MessageStream) => void connections.push(made) }
  const transport = tcp()({ logger: defaultLogger() })
  await transport.dial(address, { upgrader, signal: AbortSignal.timeout(5_000) } as unknown as Parameters<
    typeof transport.dial
  >[1] & { upgrader: { upgradeOutbound(): Promise<Connection> } })
  const [connection] = connections
  assert.ok(connection)
  let heard = ''
  connection.addEventListener('message', () => assert.fail('the connection reads no longer'))
  const socket = recordSocketOf(connection, {
    onBytes: (bytes) => (heard += Buffer.from(bytes)),
    onDrain: () => undefined,
  })
  assert.equal(socket.constructor.name, 'TcpSocket')
  socket.write([Buffer.from('there '), Buffer.from('and back')])
  await until(() => heard === 'there and back')
  connection.abort(new Error('done'))
  server.close()
})
