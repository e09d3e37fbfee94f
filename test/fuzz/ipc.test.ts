/** Whatever bytes reach the local API, it answers with codes and lives on. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import { FrameDecoder } from '../../protocols/ipc/duplex.ts'
import { contract } from '../../protocols/ipc/contract.ts'
import { decodeQuery } from '../../protocols/ipc/query.ts'
import { isNzError } from '../../kernel/index.ts'
import { startApiNode } from '../fake/node.ts'
import type { ApiNode } from '../fake/node.ts'

const RUNS = Number(process.env['NZ_FUZZ_RUNS'] ?? 300)

let node: ApiNode
let tcp: { host: string; port: number }
before(async () => {
  node = await startApiNode({ ipc: { tcp: { enabled: true, port: 0 } } })
  const { hostname, port } = new URL((await node.client.nodeStatus({})).apiUrl ?? '')
  tcp = { host: hostname, port: Number(port) }
})
after(async () => await node[Symbol.asyncDispose]())

/** The statuses and codes that came back until the node closed, or was told that nothing follows. */
async function told(bytes: Uint8Array, over: 'tcp' | 'unix'): Promise<string> {
  const socket = over === 'tcp' ? connect(tcp) : connect(node.socketPath)
  let answer = ''
  socket.on('error', () => {})
  socket.on('data', (chunk) => {
    answer += chunk.toString('latin1')
    if (answer.length > 100_000) socket.destroy()
  })
  socket.end(bytes)
  const giveUp = setTimeout(() => socket.destroy(), 30_000)
  await once(socket, 'close')
  clearTimeout(giveUp)
  return answer
}

function expectCoded(answer: string, given: unknown): void {
  for (const [, status] of answer.matchAll(/HTTP\/1\.1 ([45]\d\d)/g)) {
    assert.match(answer, /"code":"NZ_/, `${status} without a code for ${JSON.stringify(given)}`)
    assert.notEqual(status, '500', `unexpected error for ${JSON.stringify(given)}: ${answer.slice(0, 400)}`)
  }
}

const paths = Object.values(contract)
  .filter(({ path }) => !path.includes('stop'))
  .map(({ path }) => `/v1${path}`)

const token = fc.oneof(
  fc.string(),
  fc.constantFrom('GET', 'POST', 'OPTIONS', ' ', '\r\n', '\r\n\r\n', 'HTTP/1.1', ':', 'host: localhost', 'origin: x'),
  fc.constantFrom('content-length: 5', 'transfer-encoding: chunked', 'connection: upgrade', 'upgrade: nzcore-frames-1'),
  fc.constantFrom(...paths),
)

describe('the local API', () => {
  it('survives any bytes in place of a request', async () => {
    const request = fc.oneof(
      fc.uint8Array({ maxLength: 2_000 }),
      fc.array(token, { maxLength: 20 }).map((parts) => new Uint8Array(Buffer.from(parts.join('')))),
      fc.array(token, { maxLength: 20 }).map((parts) => new Uint8Array(Buffer.from(`GET ${parts.join(' ')}\r\n\r\n`))),
    )
    await fc.assert(
      fc.asyncProperty(request, fc.constantFrom<'tcp' | 'unix'>('tcp', 'unix'), async (bytes, over) => {
        expectCoded(await told(bytes, over), Buffer.from(bytes).toString('latin1'))
      }),
      { numRuns: RUNS },
    )
  })

  it('survives any params of any endpoint that only reads', async () => {
    const reading = Object.entries(contract).filter(([, { kind, method }]) => kind === 'call' && method === 'GET')
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...reading),
        fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('limit', 'names', '__proto__')), fc.jsonValue()),
        async ([id, endpoint], params) => {
          try {
            decodeQuery(
              endpoint.params,
              new URLSearchParams(
                Object.entries(params).map(([key, value]): [string, string] => [key, JSON.stringify(value)]),
              ),
            )
            await node.local[id as 'nodeVersion'](params as never)
          } catch (error) {
            assert.ok(isNzError(error) && error.code !== 'NZ_INTERNAL', String(error))
          }
        },
      ),
      { numRuns: RUNS },
    )
  })

  it('survives any JSON as the body of a call', async () => {
    const body = fc.oneof(
      fc.json(),
      fc.string(),
      fc.json().map((text) => text.slice(0, -1)),
    )
    await fc.assert(
      fc.asyncProperty(body, async (text) => {
        const head = `POST /v1/tokens/revoke HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n`
        const request = Buffer.from(`${head}content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`)
        const answer = await told(request, 'unix')
        assert.match(answer, /^HTTP\/1\.1 4\d\d/)
        expectCoded(answer, text)
      }),
      { numRuns: RUNS },
    )
  })

  it('takes no made-up token', async () => {
    const part = fc.oneof(
      fc.base64String(),
      fc.json().map((text) => Buffer.from(text).toString('base64url')),
    )
    await fc.assert(
      fc.asyncProperty(fc.tuple(part, part, part), async (parts) => {
        const request = `GET /v1/node/version HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer ${parts.join('.')}\r\n\r\n`
        const answer = await told(Buffer.from(request), 'tcp')
        assert.match(answer, /^HTTP\/1\.1 4(?:01|29|00|31)/)
        expectCoded(answer, parts)
      }),
      { numRuns: RUNS },
    )
  })

  it('survives any bytes after an upgrade', async () => {
    const head =
      'POST /v1/streams/open?peer=x&protocol=/app/x/1 HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: nzcore-frames-1\r\n\r\n'
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 500 }), async (bytes) => {
        await told(Buffer.concat([Buffer.from(head), bytes]), 'unix')
      }),
      { numRuns: Math.min(RUNS, 100) },
    )
  })

  it('lives on, and logged nothing unexpected', async () => {
    assert.equal((await node.client.nodeVersion({})).apiVersion, 1)
    assert.deepEqual(node.logged, [])
  })
})

describe('the frame decoder', () => {
  it('gives frames or a code for any bytes in any pieces, and holds no more than a message', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 20 }), (pieces) => {
        const decoder = new FrameDecoder()
        let given = 0
        let taken = 0
        try {
          for (const piece of pieces) {
            decoder.push(piece)
            given += piece.byteLength
            for (let frame = decoder.next(); frame !== null; frame = decoder.next()) {
              taken += frame.type === 'data' ? frame.bytes.byteLength : 0
            }
          }
          decoder.finish()
        } catch (error) {
          assert.ok(isNzError(error, 'NZ_IPC_FRAME_INVALID'), String(error))
        }
        assert.ok(taken <= given)
      }),
      { numRuns: 20 * RUNS },
    )
  })
})
