/** One incoming stream that is ended from this side while its sink is in use. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { systemClock } from '../../kernel/index.ts'
import { TransferChannel } from '../../modules/transfers/channel.ts'
import { IncomingStream } from '../../modules/transfers/incoming-stream.ts'
import { transfersErrors } from '../../modules/transfers/service.ts'
import { encodeControl, encodeDataFrame } from '../../protocols/transfer/frame.ts'
import { fakeStreamPair } from '../fake/stream.ts'
import type { PeerStream } from '../../modules/network/service.ts'
import type { ReceiveSink } from '../../modules/transfers/sink.ts'

const bytes = new TextEncoder().encode('the whole file')
const sha256 = new Uint8Array(createHash('sha256').update(bytes).digest())
const receipt = { body: new Uint8Array(8), signature: new Uint8Array(64) }

/** A receiver whose `open` and `complete` last until they are let go, and the sender's end of its stream. */
function receiver() {
  const order: string[] = []
  const held = { open: Promise.withResolvers<void>(), complete: Promise.withResolvers<void>() }
  const reached = { open: Promise.withResolvers<void>(), complete: Promise.withResolvers<void>() }
  const hold = async (step: 'open' | 'complete'): Promise<void> => {
    order.push(`${step} begins`)
    reached[step].resolve()
    await held[step].promise
    order.push(`${step} ends`)
  }
  let stored = 0
  const sink: ReceiveSink = {
    batchBytes: 1,
    get pendingBytes() {
      return stored < bytes.length && order.includes('pushed') ? bytes.length : 0
    },
    async open() {
      await hold('open')
      return { offset: 0, sha256: new Uint8Array(createHash('sha256').digest()) }
    },
    cut: async () => undefined,
    push: () => void order.push('pushed'),
    flush: async () => (stored = bytes.length),
    sha256: () => sha256,
    pause: async () => undefined,
  }
  const init = { protocol: '/t/1', clock: systemClock, latencyMs: 0, windowBytes: 65_536 }
  const [theirs, ours] = fakeStreamPair({ ...init, peerIds: ['sender', 'receiver'] })
  const stream = new IncomingStream(new TransferChannel(ours, systemClock), {
    clock: systemClock,
    maxBytes: 1_000,
    admit: async () => ({
      sink,
      onProgress: () => undefined,
      complete: async () => {
        await hold('complete')
        return receipt
      },
      release: async (error) => void order.push(error === null ? 'released' : 'released as failed'),
    }),
  })
  return { order, held, reached, theirs, stream, run: stream.run() }
}

async function offer(stream: PeerStream): Promise<void> {
  const id = new Uint8Array(16)
  await stream.write(encodeControl({ type: 'offer', id, name: 'f', size: bytes.length, token: null }))
}

async function sendAll(stream: PeerStream): Promise<void> {
  await stream.read()
  await stream.write(encodeControl({ type: 'begin', offset: 0 }))
  await stream.write(encodeDataFrame(bytes))
  await stream.write(encodeControl({ type: 'end', size: bytes.length, sha256 }))
}

const ended = transfersErrors.NZ_TRANSFERS_BUSY()

describe('an incoming stream', () => {
  it('is released only when its sink is no longer being opened', async () => {
    const { order, held, reached, theirs, stream, run } = receiver()
    await offer(theirs)
    await reached.open.promise
    stream.end(ended)
    theirs.reset()
    await new Promise((resolve) => setImmediate(resolve))
    held.open.resolve()
    await run
    assert.deepEqual(order, ['open begins', 'open ends', 'released as failed'])
  })

  it('that is being completed is completed, whoever ends it', async () => {
    const { order, held, reached, theirs, stream, run } = receiver()
    held.open.resolve()
    await offer(theirs)
    await sendAll(theirs)
    await reached.complete.promise
    theirs.reset()
    stream.end(ended)
    await new Promise((resolve) => setImmediate(resolve))
    held.complete.resolve()
    await run
    assert.deepEqual(order.slice(-3), ['complete begins', 'complete ends', 'released as failed'])
  })
})
