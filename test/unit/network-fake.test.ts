import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isNzError } from '../../kernel/index.ts'
import { networkErrors } from '../../modules/network/service.ts'
import { createFakeNetwork } from '../fake/network.ts'

const signal = AbortSignal.timeout(120_000)
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (value: Uint8Array | null): string | null => (value === null ? null : new TextDecoder().decode(value))

async function pair() {
  const mesh = createFakeNetwork({ windowBytes: 8 })
  const desk = mesh.add('desk')
  const laptop = mesh.add('laptop')
  await desk.connect('laptop', { addresses: laptop.addresses(), signal })
  return { mesh, desk, laptop }
}

describe('the in-memory mesh', () => {
  it('carries bytes both ways and half-closes', async () => {
    const { desk, laptop } = await pair()
    laptop.handleStreams(
      '/echo/1',
      async (stream) => {
        for (let chunk = await stream.read(); chunk !== null; chunk = await stream.read()) await stream.write(chunk)
      },
      { signal },
    )
    const stream = await desk.openStream('laptop', '/echo/1', { signal })
    await stream.write(bytes('hey'))
    assert.equal(text(await stream.read()), 'hey')
    await stream.closeWrite()
    assert.equal(await stream.read(), null)
    assert.ok(stream.signal.aborted)
  })

  it('makes a writer wait for a slow reader', async () => {
    const { desk, laptop } = await pair()
    const go = Promise.withResolvers<void>()
    laptop.handleStreams(
      '/slow/1',
      async (stream) => {
        await go.promise
        while ((await stream.read()) !== null);
      },
      { signal },
    )
    const stream = await desk.openStream('laptop', '/slow/1', { signal })
    let isWritten = false
    const writing = stream.write(new Uint8Array(8)).then(() => (isWritten = true))
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(isWritten, false)
    go.resolve()
    await writing
    await stream.close()
  })

  it('answers requests, and gives the code of a refusal', async () => {
    const { desk, laptop } = await pair()
    laptop.handleRequests('double', async (payload) => new Uint8Array([...payload, ...payload]), { signal })
    laptop.handleRequests('refuse', async () => Promise.reject(networkErrors.NZ_NETWORK_BLOCKED()), { signal })
    assert.equal(text(await desk.request('laptop', 'double', bytes('ab'), { signal })), 'abab')
    await assert.rejects(desk.request('laptop', 'refuse', bytes(''), { signal }), (e) =>
      isNzError(e, 'NZ_NETWORK_BLOCKED'),
    )
    await assert.rejects(desk.request('laptop', 'none', bytes(''), { signal }), (e) =>
      isNzError(e, 'NZ_NETWORK_METHOD_UNKNOWN'),
    )
  })

  it('resets streams when it is cut, and kept connections come back when it heals', async () => {
    const { mesh, desk, laptop } = await pair()
    laptop.handleStreams('/wait/1', async (_stream, options) => await until(options.signal), { signal })
    const kept = desk.keep('laptop', laptop.addresses())
    const stream = await desk.openStream('laptop', '/wait/1', { signal })
    mesh.cut('desk', 'laptop')
    await assert.rejects(stream.read(), (e) => isNzError(e, 'NZ_NETWORK_STREAM_RESET'))
    assert.equal(desk.peer('laptop')?.state, 'reconnecting')
    await assert.rejects(desk.connect('laptop', { signal }), (e) => isNzError(e, 'NZ_NETWORK_UNREACHABLE'))
    mesh.heal('desk', 'laptop')
    assert.equal(desk.peer('laptop')?.state, 'connected')
    assert.equal(laptop.peer('desk')?.state, 'connected')
    kept.release()
    assert.equal(desk.attempts('laptop').at(-2)?.code, 'NZ_NETWORK_NO_ROUTE')
  })

  it('opens no stream to a peer whose address nobody gave', async () => {
    const mesh = createFakeNetwork()
    const desk = mesh.add('desk')
    mesh.add('laptop')
    await assert.rejects(desk.openStream('laptop', '/x/1', { signal }), (e) => isNzError(e, 'NZ_NETWORK_NOT_CONNECTED'))
  })
})

async function until(signal_: AbortSignal): Promise<void> {
  await new Promise((resolve) => signal_.addEventListener('abort', resolve, { once: true }))
}
