import assert from 'node:assert/strict'
import { once } from 'node:events'
import { lstat, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { createServer as createHttp } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { listenOnUnixSocket } from '../../modules/ipc/unix-socket.ts'
import { createClientOf } from '../../sdk/client.ts'
import { fakeContract, serveFake } from '../fake/api.ts'

describe('calls', () => {
  it('answer with the result, defaults filled in', async () => {
    await using api = await serveFake()
    assert.deepEqual(await api.client.add({ a: 2, b: 3 }), { sum: 5 })
    assert.deepEqual(await api.client.add({ a: 2 }), { sum: 3 })
  })

  it('carry every kind of param through the query', async () => {
    await using api = await serveFake()
    const params = { text: '10', count: 10, isLoud: false, names: ['a b', 'ü'] }
    assert.deepEqual(await api.client.echo(params), params)
    assert.deepEqual(await api.client.echo({}), {})
  })

  it('refuse unknown, missing and control characters in params, and say where', async () => {
    await using api = await serveFake()
    // @ts-expect-error -- a param that the contract does not have
    await assert.rejects(api.client.add({ a: 1, c: 2 }), { code: 'NZ_IPC_PARAMS_INVALID' })
    // @ts-expect-error -- a param of the wrong type
    await assert.rejects(api.client.add({ a: 'x' }), (error: { data: { issues: [{ path: string }] } }) => {
      assert.equal(error.data.issues[0].path, 'a')
      return true
    })
    await assert.rejects(api.client.echo({ text: 'a\u001b[2J' }), {
      code: 'NZ_IPC_PARAMS_INVALID',
      data: { issues: [{ path: 'text', message: 'holds a control character' }] },
    })
  })

  it('throw on the client what the handler threw, whole', async () => {
    await using api = await serveFake()
    await assert.rejects(api.client.add({ a: 409 }), {
      code: 'NZ_FAKE_FULL',
      message: 'the shop is full',
      why: 'it is noon',
      fix: ['come back later'],
      exit: 'conflict',
      retryable: true,
      data: { guests: 7 },
    })
  })

  it('tell nothing of an unexpected error but NZ_INTERNAL, and log it', async () => {
    await using api = await serveFake()
    await assert.rejects(api.client.add({ a: 500 }), (error: Error & { code: string }) => {
      assert.equal(error.code, 'NZ_INTERNAL')
      assert.doesNotMatch(JSON.stringify(error), /secret/)
      return true
    })
    assert.deepEqual(api.logged, ['ipc.handlerFailed'])
  })

  it('end at their deadline even when the handler hangs', async () => {
    await using api = await serveFake()
    await assert.rejects(api.client.add({ a: 504 }), { code: 'NZ_IPC_DEADLINE', exit: 'timedOut' })
  })

  it('end when the caller aborts', async () => {
    await using api = await serveFake()
    const reason = new Error('changed my mind')
    await assert.rejects(api.client.add({ a: 1 }, { signal: AbortSignal.abort(reason) }), reason)
    const controller = new AbortController()
    const call = api.client.add({ a: 504 }, { signal: controller.signal })
    setImmediate(() => controller.abort(reason))
    await assert.rejects(call, reason)
  })

  it('say that no node runs', async () => {
    const client = createClientOf<typeof fakeContract>(fakeContract, { socketPath: '/nonexistent/node.sock' })
    await assert.rejects(client.add({ a: 1 }), { code: 'NZ_IPC_NOT_RUNNING', exit: 'notRunning' })
  })
})

describe('streams', () => {
  it('give items in order and end', async () => {
    await using api = await serveFake()
    const places: string[] = []
    for await (const { place } of api.client.count({ to: 3 })) places.push(place)
    assert.deepEqual(places, ['1', '2', '3'])
  })

  it('throw what the source threw', async () => {
    await using api = await serveFake()
    const places: string[] = []
    await assert.rejects(
      async () => {
        for await (const { place } of api.client.count({ after: '10' })) places.push(place)
      },
      { code: 'NZ_FAKE_FULL' },
    )
    assert.deepEqual(places, ['11', '12'])
  })

  it('end the source when the reader leaves', async () => {
    await using api = await serveFake()
    for await (const { place } of api.client.count({ after: '100' })) if (place === '103') break
    while (!api.trace.includes('count left')) await new Promise(setImmediate)
  })

  it('do not run ahead of a reader that does not read', async () => {
    await using api = await serveFake()
    const reader = api.client.count({ after: '100', padding: 100_000 })[Symbol.asyncIterator]()
    await reader.next()
    let before = -1
    while (api.trace.length !== before) {
      before = api.trace.length
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    assert.ok(api.trace.length < 40, `source ran ahead: ${api.trace.length} items of 100 kB`)
    await reader.return?.()
  })

  it('end with a code when the node stops', async () => {
    await using api = await serveFake()
    const reader = api.client.count({ after: '100' })[Symbol.asyncIterator]()
    await reader.next()
    api.stop()
    await assert.rejects(
      async () => {
        while ((await reader.next()).done !== true);
      },
      { code: 'NZ_IPC_STOPPING' },
    )
  })
})

describe('duplexes', () => {
  it('carry bytes and messages both ways, in order', async () => {
    await using api = await serveFake()
    const duplex = await api.client.talk({ mode: 'echo' })
    const big = new Uint8Array(600_000).map((_, i) => i % 251)
    await duplex.send({ hello: 1 })
    const sent = duplex.write(big).then(() => duplex.end())
    const first = await duplex.read()
    assert.deepEqual(first, { message: { hello: 1 } })
    const chunks: Uint8Array[] = []
    for (let item = await duplex.read(); item !== null; item = await duplex.read()) {
      assert.ok(item !== null && 'bytes' in item)
      chunks.push(item.bytes)
    }
    await sent
    assert.equal(Buffer.compare(Buffer.concat(chunks), big), 0)
    assert.ok(duplex.signal.aborted)
  })

  it('throw what the node failed with', async () => {
    await using api = await serveFake()
    const duplex = await api.client.talk({ mode: 'fail' })
    await assert.rejects(duplex.read(), { code: 'NZ_FAKE_FULL', data: { guests: 7 } })
  })

  it('end when the node does, although it has not read everything', async () => {
    await using api = await serveFake()
    const duplex = await api.client.talk({ mode: 'deaf' })
    assert.equal(await duplex.read(), null)
    await duplex.end()
    assert.ok(duplex.signal.aborted)
  })

  it('hold the node back while nobody reads', async () => {
    await using api = await serveFake()
    const duplex = await api.client.talk({ mode: 'flood' })
    await duplex.read()
    let before = -1
    while (api.trace.length !== before) {
      before = api.trace.length
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    assert.ok(api.trace.length < 40, `node wrote ${api.trace.length} × 64 KiB ahead`)
    let bytes = 65_536
    for (let item = await duplex.read(); item !== null; item = await duplex.read()) {
      bytes += 'bytes' in item ? item.bytes.byteLength : 0
    }
    assert.ok(bytes >= 1_000 * 65_536)
    await duplex.end()
  })

  it('end on the node when the caller aborts', async () => {
    await using api = await serveFake()
    const controller = new AbortController()
    const duplex = await api.client.talk({ mode: 'echo' }, { signal: controller.signal })
    await duplex.write(Uint8Array.of(1))
    controller.abort()
    await assert.rejects(duplex.write(Uint8Array.of(2)))
  })

  it('are refused with a code before the upgrade', async () => {
    await using api = await serveFake()
    // @ts-expect-error -- not one of the modes
    await assert.rejects(api.client.talk({ mode: 'sing' }), { code: 'NZ_IPC_PARAMS_INVALID' })
  })
})

describe('the Unix socket', () => {
  it('outlives an error of its listener', async () => {
    await using api = await serveFake()
    api.server.emit('error', Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' }))
    assert.deepEqual(await api.client.add({ a: 1, b: 2 }), { sum: 3 })
  })

  it('belongs to the owner alone', async () => {
    await using api = await serveFake()
    assert.equal((await stat(api.socketPath)).mode & 0o777, 0o600)
    assert.equal((await stat(dirname(api.socketPath))).mode & 0o777, 0o700)
  })

  it('replaces a leftover, not one that is answered and not a file', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'nz-sock-'))
    const signal = AbortSignal.timeout(120_000)
    const path = join(dir, 'run', 'node.sock')
    const first = createHttp()
    await listenOnUnixSocket(first, path, { signal })
    await assert.rejects(listenOnUnixSocket(createHttp(), path, { signal }), { code: 'NZ_IPC_SOCKET_TAKEN' })
    first.close()
    await once(first, 'close')

    // A process that was killed leaves its socket: keep the name alive by a second link, as close() unlinks the first.
    const dead = createServer().listen(join(dir, 'dead.sock'))
    await once(dead, 'listening')
    const { linkSync } = await import('node:fs')
    linkSync(join(dir, 'dead.sock'), path)
    dead.close()
    await once(dead, 'close')
    assert.ok((await lstat(path)).isSocket())
    const second = createHttp()
    await listenOnUnixSocket(second, path, { signal })
    second.close()
    await once(second, 'close')

    await writeFile(path, 'not a socket')
    await assert.rejects(listenOnUnixSocket(createHttp(), path, { signal }), { code: 'NZ_IPC_SOCKET_TAKEN' })
    await rm(dir, { recursive: true })
  })
})
