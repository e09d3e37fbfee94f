/** Requests over the streams of the in-memory mesh. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { defineErrors, isNzError, systemClock } from '../../kernel/index.ts'
import { Requests } from '../../modules/network/requests.ts'
import { encodeFrame, FrameDecoder, MAX_PAYLOAD_BYTES, RPC_PROTOCOL } from '../../protocols/rpc/frame.ts'
import { createFakeNetwork } from '../fake/network.ts'
import type { RequestHandler } from '../../modules/network/service.ts'

const signal = AbortSignal.timeout(120_000)
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
const testErrors = defineErrors({
  NZ_REQUESTS_TEST: { message: 'own words', fix: [], status: 409, exit: 'conflict', retryable: false },
})
const nothing = new Uint8Array()
const isCode =
  (code: string) =>
  (error: unknown): boolean =>
    isNzError(error, code)

async function setUp(handlers: Record<string, RequestHandler> = {}) {
  const mesh = createFakeNetwork()
  const [desk, laptop] = [mesh.add('desk'), mesh.add('laptop')]
  await desk.connect('laptop', { addresses: laptop.addresses(), signal })
  const opened: string[] = []
  const client = new Requests({
    openStream: async (peerId, protocol, options) => {
      opened.push(protocol)
      return await desk.openStream(peerId, protocol, options)
    },
    clock: systemClock,
    log: silent,
  })
  const server = new Requests({ openStream: laptop.openStream.bind(laptop), clock: systemClock, log: silent })
  laptop.handleStreams(RPC_PROTOCOL, async (stream, options) => await server.serve(stream, options), { signal })
  for (const [method, handler] of Object.entries(handlers)) server.handle(method, handler, { signal })
  const ask = async (method: string, payload = nothing, asked = signal): Promise<Uint8Array> =>
    await client.request('laptop', method, payload, { signal: asked })
  return { mesh, desk, laptop, opened, ask }
}

describe('requests', () => {
  it('share one stream, thousands at a time', async () => {
    const { ask, opened } = await setUp({ echo: async (payload) => payload })
    const answers = await Promise.all(
      Array.from({ length: 3_000 }, async (_, at) => await ask('echo', Uint8Array.of(at >> 8, at & 255))),
    )
    answers.forEach((answer, at) => assert.deepEqual([...answer], [at >> 8, at & 255]))
    assert.deepEqual(opened, [RPC_PROTOCOL])
  })

  it('bring back the code of a failure with this node’s own words, and nothing else of it', async () => {
    const { ask } = await setUp({
      coded: async () => Promise.reject(testErrors.NZ_REQUESTS_TEST({ why: 'theirs', data: { secret: 1 } })),
      broken: async () => Promise.reject(new Error('internal')),
      large: async () => new Uint8Array(MAX_PAYLOAD_BYTES + 1),
    })
    await assert.rejects(ask('coded'), (error) => {
      assert.ok(isNzError(error, 'NZ_REQUESTS_TEST'))
      assert.deepEqual([error.message, error.why, error.data['secret']], ['own words', 'theirs', undefined])
      return true
    })
    await assert.rejects(
      ask('broken'),
      (error) => isNzError(error, 'NZ_NETWORK_REQUEST_FAILED') && !String(error.why).includes('internal'),
    )
    await assert.rejects(ask('large'), isCode('NZ_NETWORK_REQUEST_TOO_LARGE'))
    await assert.rejects(ask('large', new Uint8Array(MAX_PAYLOAD_BYTES + 1)), isCode('NZ_NETWORK_REQUEST_TOO_LARGE'))
    await assert.rejects(ask('nobody'), isCode('NZ_NETWORK_METHOD_UNKNOWN'))
    assert.deepEqual(await ask('large').catch(() => 'the stream goes on'), 'the stream goes on')
  })

  it('are cancelled at the other end when nobody waits any more', async () => {
    const cancelled = Promise.withResolvers<void>()
    const { ask } = await setUp({
      hang: async (_payload, options) => {
        await new Promise((resolve) => options.signal.addEventListener('abort', resolve, { once: true }))
        cancelled.resolve()
        return nothing
      },
      echo: async (payload) => payload,
    })
    const stop = new AbortController()
    const asking = ask('hang', nothing, stop.signal)
    assert.deepEqual([...(await ask('echo', Uint8Array.of(1)))], [1])
    stop.abort(new Error('enough'))
    await assert.rejects(asking, /enough/)
    await cancelled.promise
    assert.deepEqual([...(await ask('echo', Uint8Array.of(2)))], [2])
  })

  it('of a name that cannot be sent fail for their caller alone', async () => {
    const { ask } = await setUp({ echo: async (payload) => payload })
    await assert.rejects(ask('no name'), RangeError)
    assert.deepEqual(await ask('echo', Uint8Array.of(1)), Uint8Array.of(1))
  })

  it('end with the stream, and the next ones open another', async () => {
    const { ask, mesh, opened } = await setUp({
      hang: async () => await new Promise<never>(() => undefined),
      echo: async (payload) => payload,
    })
    const asking = ask('hang')
    await ask('echo')
    mesh.cut('desk', 'laptop')
    await assert.rejects(asking, isCode('NZ_NETWORK_STREAM_RESET'))
    mesh.heal('desk', 'laptop')
    await ask('echo')
    assert.equal(opened.length, 2)
  })

  it('a peer that breaks the rules loses its stream', async () => {
    const { desk } = await setUp({ echo: async (payload) => payload })
    for (const bytes of [
      Uint8Array.of(0xff, 0xff, 0xff, 0xff),
      encodeFrame({ type: 'answer', call: 1, payload: nothing }),
    ]) {
      const stream = await desk.openStream('laptop', RPC_PROTOCOL, { signal })
      await stream.write(encodeFrame({ type: 'request', call: 1, timeoutMs: 1_000, method: 'echo', payload: nothing }))
      const answer = await stream.read({ signal })
      assert.equal(new FrameDecoder().push(answer ?? nothing)[0]?.type, 'answer')
      await stream.write(bytes)
      await assert.rejects(stream.read({ signal }), isCode('NZ_NETWORK_STREAM_RESET'))
    }
  })
})
