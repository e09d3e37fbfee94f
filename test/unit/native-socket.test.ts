/** What the take-over of a socket relies on in Node: fields that no type shows. It fails when one of them has moved. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { it } from 'node:test'
import { defaultLogger } from '@libp2p/logger'
import { tcpSocketOf } from '../../modules/network/native-muxer/tcp-socket.ts'
import { SocketConnection, socketPair } from '../fake/native-pair.ts'
import type { MessageStream } from '@libp2p/interface'

it('a socket that was taken is never read again, and gives what was read before', async () => {
  const [near, far] = await socketPair()
  const connection = new SocketConnection(near, { log: defaultLogger().forComponent('test'), direction: 'outbound' })
  far.write('before')
  await once(near, 'data')
  const taken = tcpSocketOf(connection)
  assert.ok(taken !== null && taken.fd > 2)
  assert.equal(Buffer.from(taken.take()).toString(), 'before')
  let heard = 0
  near.on('data', () => (heard += 1))
  near.resume()
  far.write('afterwards')
  for (let turn = 0; turn < 20; turn++) await new Promise((settle) => setImmediate(settle))
  assert.equal(heard, 0)
  // Unread bytes make this a reset.
  far.on('error', () => undefined)
  near.destroy()
  await new Promise((settle) => far.resume().once('close', settle))
})

it('anything else is left alone: other connections, sockets that have something to write or are over', async () => {
  assert.equal(tcpSocketOf({} as MessageStream), null)
  const [near, far] = await socketPair()
  const connection = new SocketConnection(near, { log: defaultLogger().forComponent('test'), direction: 'outbound' })
  near.cork()
  near.write('waits')
  assert.equal(tcpSocketOf(connection), null)
  near.destroy()
  assert.equal(tcpSocketOf(connection), null)
  far.destroy()
})
