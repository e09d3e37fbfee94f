/** Requests of the SDK over connections that are kept for the next one, and that the node closes at the same moment. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { isNzError } from '../../kernel/index.ts'
import { readAnswer, sendRequest } from '../../sdk/http.ts'
import type { Socket } from 'node:net'

it('asks again when a kept connection was closed meanwhile, and only what changes nothing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'nz-http-'))
  const served = new WeakSet<Socket>()
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(request.method ?? '')
    // As when the time of an idle connection is over just when the next request is on its way.
    if (served.has(request.socket)) return void request.socket.destroy()
    served.add(request.socket)
    response.end('{}')
  })
  const agent = new Agent({ keepAlive: true })
  try {
    const socketPath = join(folder, 's')
    server.listen(socketPath)
    await once(server, 'listening')
    const ask = async (method: 'GET' | 'POST'): Promise<unknown> =>
      await readAnswer(await sendRequest({ agent, socketPath }, { kind: 'call', method, path: '/x' }, {}))
    assert.deepEqual(await ask('GET'), {})
    assert.deepEqual(await ask('GET'), {})
    assert.deepEqual(asked, ['GET', 'GET', 'GET'])
    assert.deepEqual(await ask('GET'), {})
    await assert.rejects(ask('POST'), (error) => isNzError(error, 'NZ_IPC_CONNECTION_LOST'))
    assert.deepEqual(asked.slice(3), ['GET', 'POST'])
  } finally {
    agent.destroy()
    server.close()
    await rm(folder, { recursive: true, force: true })
  }
})
