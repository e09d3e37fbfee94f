/** What the local API refuses, byte by byte over real sockets (R20). */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import {
  MAX_BODY_BYTES,
  MAX_CONNECTIONS,
  MAX_HEADER_BYTES,
  MAX_STREAMS_PER_CALLER,
} from '../../protocols/ipc/limits.ts'
import { fakeIdentity } from '../fake/identity.ts'
import { createClient } from '../../sdk/client.ts'
import { startApiNode } from '../fake/node.ts'
import type { ApiNode } from '../fake/node.ts'

interface Answer {
  readonly status: number
  readonly code: string | undefined
  readonly text: string
}

let node: ApiNode
let url = ''
let token = ''

before(async () => {
  node = await startApiNode({ ipc: { tcp: { enabled: true, port: 0, allowedHosts: ['desk.lan'] } } })
  url = (await node.client.nodeStatus({})).apiUrl ?? ''
  token = await newToken('reader', ['node.read', 'events.read'])
})

after(async () => await node[Symbol.asyncDispose]())

async function newToken(name: string, capabilities: string[], lifetimeMs = 3_600_000): Promise<string> {
  return (await node.client.tokensCreate({ name, capabilities, lifetimeMs })).token
}

/** Sends raw text and reads until the node closes or the answer is complete. */
async function raw(text: string | Buffer, over: 'tcp' | 'unix' = 'tcp'): Promise<Answer> {
  const { hostname, port } = new URL(url)
  const socket = over === 'unix' ? connect(node.socketPath) : connect(Number(port), hostname)
  socket.on('error', () => {})
  let answer = ''
  socket.setEncoding('utf8')
  socket.on('data', (chunk) => {
    answer += String(chunk)
    const length = /content-length: (\d+)/i.exec(answer)?.[1]
    const bodyAt = answer.indexOf('\r\n\r\n')
    if (length !== undefined && bodyAt !== -1 && answer.length - bodyAt - 4 >= Number(length)) socket.destroy()
  })
  socket.write(text)
  await once(socket, 'close')
  const body = answer.slice(answer.indexOf('\r\n\r\n') + 4)
  const code = /"code":"(NZ_\w+)"/.exec(body)?.[1]
  return { status: Number(/^HTTP\/1.1 (\d+)/.exec(answer)?.[1] ?? 0), code, text: answer }
}

const get = (path: string, headers: Record<string, string> = {}): string => {
  const all = { host: '127.0.0.1', authorization: `Bearer ${token}`, ...headers }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  return `GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`
}

const post = (path: string, body: string, headers: Record<string, string> = {}): string =>
  `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
  Object.entries({ 'content-type': 'application/json', ...headers })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('') +
  `\r\n${body}`

describe('over TCP', () => {
  it('answers who has a token, for localhost, loopback and listed names', async () => {
    for (const host of ['localhost', '127.0.0.1:4003', '127.9.9.9', '[::1]:1', 'LOCALHOST', 'desk.lan']) {
      assert.equal((await raw(get('/v1/node/version', { host }))).status, 200, host)
    }
    const client = createClient({ url, token })
    assert.equal((await client.nodeVersion({})).apiVersion, 1)
  })

  it('refuses a foreign, missing, doubled or strange Host', async () => {
    for (const host of [
      'evil.example',
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      '127.evil',
      '10.0.0.1',
      '',
    ]) {
      assert.deepEqual(await refusal(get('/v1/node/version', { host })), [421, 'NZ_IPC_HOST_REFUSED'], host)
    }
    const none = `GET /v1/node/version HTTP/1.1\r\nauthorization: Bearer ${token}\r\n\r\n`
    assert.deepEqual(await refusal(none), [421, 'NZ_IPC_HOST_REFUSED'])
    const twice = get('/v1/node/version').replace('\r\n', '\r\nHost: evil.example\r\n')
    const [status] = await refusal(twice)
    assert.ok(status === 421 || status === 400)
  })

  it('refuses web pages', async () => {
    for (const origin of ['http://localhost', 'null', 'https://evil.example']) {
      assert.deepEqual(await refusal(get('/v1/node/version', { origin })), [403, 'NZ_IPC_ORIGIN_REFUSED'])
    }
    assert.deepEqual(await refusal(get('/v1/node/version', { 'sec-fetch-site': 'same-origin' })), [
      403,
      'NZ_IPC_ORIGIN_REFUSED',
    ])
    const preflight = 'OPTIONS /v1/node/stop HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.example\r\n\r\n'
    const { text } = await raw(preflight)
    assert.doesNotMatch(text, /access-control-allow/i)
  })

  it('refuses a token that lacks the capability, is expired, is revoked; and cuts what a revoked one has open', async () => {
    const client = createClient({ url, token })
    await assert.rejects(client.nodeStop({}), {
      code: 'NZ_IPC_CAPABILITY_MISSING',
      data: { capability: 'node.stop' },
    })
    await assert.rejects(client.tokensList({}), { code: 'NZ_IPC_CAPABILITY_MISSING' })
    const brief = createClient({ url, token: await newToken('brief', ['events.*'], 1_000) })
    const stream = brief.eventsFollow({})[Symbol.asyncIterator]()
    await assert.rejects(stream.next(), { code: 'NZ_IPC_TOKEN_REFUSED' })
    await assert.rejects(brief.eventsFollow({})[Symbol.asyncIterator]().next(), { code: 'NZ_IPC_TOKEN_REFUSED' })

    const short = createClient({ url, token: await newToken('short', ['events.read']) })
    const events = short.eventsFollow({})[Symbol.asyncIterator]()
    let isOpen = false
    const first = events.next().then(() => (isOpen = true))
    while (!isOpen) {
      // Something that is told of, until it is: the stream is there then.
      await node.client.trustSet({ peer: fakeIdentity(9).self.peerId, level: 'LOW' })
      await Promise.race([first, new Promise((resolve) => setImmediate(resolve))])
    }
    const cut = assert.rejects(
      async () => {
        while ((await events.next()).done !== true);
      },
      { code: 'NZ_IPC_TOKEN_REFUSED' },
    )
    await node.client.tokensRevoke({ token: 'short' })
    await cut
  })

  it('lets nobody grant more than they have', async () => {
    const admin = createClient({ url, token: await newToken('admin', ['tokens.admin', 'node.read']) })
    await assert.rejects(admin.tokensCreate({ name: 'all', capabilities: ['*'] }), {
      code: 'NZ_IPC_CAPABILITY_MISSING',
    })
    await assert.rejects(admin.tokensCreate({ name: 'all', capabilities: ['node.stop'] }), {
      code: 'NZ_IPC_CAPABILITY_MISSING',
    })
    assert.ok((await admin.tokensCreate({ name: 'less', capabilities: ['node.read'] })).token)
    await assert.rejects(node.client.tokensCreate({ name: 'odd', capabilities: ['kitchen.sink'] }), {
      code: 'NZ_IPC_CAPABILITY_UNKNOWN',
    })
  })

  it('refuses no token and wrong tokens, then makes that address wait, while a known token goes on', async () => {
    const known = createClient({ url, token })
    await known.nodeVersion({})
    const wrong = [
      get('/v1/node/version', { authorization: '' }),
      get('/v1/node/version', { authorization: 'Bearer a.b.c' }),
      get('/v1/node/version', { authorization: `Basic ${token}` }),
      get('/v1/node/version', { authorization: `Bearer ${token}x` }),
      get('/v1/nowhere', { authorization: 'Bearer x.y.z' }),
    ]
    for (const each of wrong) assert.deepEqual(await refusal(each), [401, 'NZ_IPC_TOKEN_REFUSED'])
    assert.deepEqual(await refusal(wrong[0] ?? ''), [429, 'NZ_IPC_LOGIN_LIMITED'])
    assert.equal((await known.nodeVersion({})).apiVersion, 1)
  })

  it('needs a token for an upgrade too', async () => {
    const upgrade = 'POST /v1/node/stop HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: x\r\n\r\n'
    const [status] = await refusal(upgrade)
    assert.ok(status === 401 || status === 429)
  })
})

describe('over either socket', () => {
  it('refuses an Origin on the Unix socket too', async () => {
    assert.deepEqual(await refusal(get('/v1/node/version', { origin: 'null' }), 'unix'), [403, 'NZ_IPC_ORIGIN_REFUSED'])
  })

  it('refuses headers above the bound', async () => {
    const at = get('/v1/node/version', { 'x-filler': 'a'.repeat(MAX_HEADER_BYTES - 1_000) })
    assert.equal((await raw(at, 'unix')).status, 200)
    const over = get('/v1/node/version', { 'x-filler': 'a'.repeat(MAX_HEADER_BYTES) })
    assert.deepEqual(await refusal(over, 'unix'), [431, 'NZ_IPC_HEADERS_TOO_LARGE'])
    const huge = get('/v1/node/version', { 'x-filler': 'a'.repeat(1_048_576) })
    assert.deepEqual(await refusal(huge), [431, 'NZ_IPC_HEADERS_TOO_LARGE'])
  })

  it('refuses a body above the bound, announced or not', async () => {
    const padded = (bytes: number): string => `{"reason":"x"}${' '.repeat(bytes - 14)}`
    const named = (bytes: number): string => post('/v1/tokens/revoke', `{"token":"x"}${' '.repeat(bytes - 13)}`)
    assert.deepEqual(await refusal(named(MAX_BODY_BYTES), 'unix'), [404, 'NZ_IPC_TOKEN_NOT_FOUND'])
    assert.deepEqual(await refusal(named(MAX_BODY_BYTES + 1), 'unix'), [413, 'NZ_IPC_BODY_TOO_LARGE'])
    const chunk = padded(MAX_BODY_BYTES + 1)
    const chunked =
      'POST /v1/node/stop HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n' +
      `${chunk.length.toString(16)}\r\n${chunk}\r\n0\r\n\r\n`
    assert.deepEqual(await refusal(chunked, 'unix'), [413, 'NZ_IPC_BODY_TOO_LARGE'])
  })

  it('refuses bodies that are no JSON object of the contract', async () => {
    const cases: Array<[string, string, Record<string, string>?]> = [
      ['{"reason":', 'NZ_IPC_JSON_INVALID'],
      ['[]', 'NZ_IPC_JSON_INVALID'],
      ['null', 'NZ_IPC_JSON_INVALID'],
      ['"x"', 'NZ_IPC_JSON_INVALID'],
      ['{"token":"x"}', 'NZ_IPC_MEDIA_TYPE_WRONG', { 'content-type': 'text/plain' }],
      ['token=x', 'NZ_IPC_MEDIA_TYPE_WRONG', { 'content-type': 'application/x-www-form-urlencoded' }],
      ['{"token":"x","more":1}', 'NZ_IPC_PARAMS_INVALID'],
      ['{"__proto__":{"token":"x"}}', 'NZ_IPC_PARAMS_INVALID'],
      ['{"token":"a\\u0007b"}', 'NZ_IPC_PARAMS_INVALID'],
      ['{"token":"a\\u001b]0;title\\u0007"}', 'NZ_IPC_PARAMS_INVALID'],
      [`{"token":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, 'NZ_IPC_PARAMS_INVALID'],
    ]
    for (const [body, code, headers] of cases) {
      assert.equal((await refusal(post('/v1/tokens/revoke', body, headers), 'unix'))[1], code, body.slice(0, 40))
    }
  })

  it('refuses unknown paths, tricks with paths, wrong methods and broken HTTP', async () => {
    for (const path of ['/', '/v1', '/v1/', '/v2/node/version', '/v1/node/../node/version', '/v1//node/version']) {
      assert.deepEqual(await refusal(get(path), 'unix'), [404, 'NZ_IPC_ENDPOINT_UNKNOWN'], path)
    }
    for (const path of ['/v1/%6eode/version', '/v1/../../etc/passwd', '/v1/node/version/', '/V1/node/version']) {
      assert.deepEqual(await refusal(get(path), 'unix'), [404, 'NZ_IPC_ENDPOINT_UNKNOWN'], path)
    }
    for (const path of ['http://evil.example/v1/node/version', '*', '/v1/node/version?x=é']) {
      assert.equal((await refusal(get(path), 'unix'))[0], 400, path)
    }
    assert.deepEqual(await refusal(get('/v1/node/stop'), 'unix'), [405, 'NZ_IPC_METHOD_WRONG'])
    assert.deepEqual(await refusal(get('/v1/node/version?x=1'), 'unix'), [400, 'NZ_IPC_PARAMS_INVALID'])
    for (const text of ['\u0016\u0003\u0001\u0002', 'HELLO\r\n\r\n', 'GET / HTTP/1.1\r\nhost: a\r\nx y: z\r\n\r\n']) {
      assert.deepEqual(await refusal(text, 'unix'), [400, 'NZ_IPC_REQUEST_MALFORMED'], JSON.stringify(text))
    }
    const smuggled =
      'POST /v1/node/stop HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'
    assert.deepEqual(await refusal(smuggled, 'unix'), [400, 'NZ_IPC_REQUEST_MALFORMED'])
  })

  it('tells a caller with too many streams, and takes one again after another ended', async () => {
    const readers = Array.from({ length: MAX_STREAMS_PER_CALLER }, () => {
      const controller = new AbortController()
      const reader = node.client.eventsFollow({ after: '0-0' }, { signal: controller.signal })[Symbol.asyncIterator]()
      return { controller, reader }
    })
    await Promise.all(readers.map(async ({ reader }) => await reader.next()))
    const more = (): Promise<unknown> => node.client.eventsFollow({ after: '0-0' })[Symbol.asyncIterator]().next()
    await assert.rejects(more(), { code: 'NZ_IPC_TOO_MANY_STREAMS' })
    for (const { controller, reader } of readers) {
      controller.abort()
      await reader.return?.()
    }
    // The node hears of their ends in its own time.
    await eventually(async () => {
      const last = node.client.eventsFollow({ after: '0-0' })[Symbol.asyncIterator]()
      await last.next()
      await last.return?.()
    })
  })

  it('tells one connection too many, and lives on', async () => {
    const sockets = Array.from({ length: MAX_CONNECTIONS }, () => connect(node.socketPath))
    await Promise.all(sockets.map(async (socket) => await once(socket, 'connect')))
    const { status, code } = await raw(get('/v1/node/version'), 'unix')
    assert.deepEqual([status, code], [503, 'NZ_IPC_TOO_MANY_CONNECTIONS'])
    for (const socket of sockets) socket.destroy()
    await eventually(async () => assert.equal((await raw(get('/v1/node/version'), 'unix')).status, 200))
  })

  it('logged nothing unexpected through all of this', () => {
    assert.deepEqual(node.logged, [])
  })
})

async function refusal(text: string, over: 'tcp' | 'unix' = 'tcp'): Promise<[number, string | undefined]> {
  const { status, code } = await raw(text, over)
  return [status, code]
}

/** Tries again until it goes well, or fails as it failed last. */
async function eventually(attempt: () => Promise<void>): Promise<void> {
  const deadline = AbortSignal.timeout(30_000)
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (deadline.aborted) throw error
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}
