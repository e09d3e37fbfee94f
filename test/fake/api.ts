/** A small contract served on a real Unix socket, to try the local API's transport without a node. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Server } from 'node:http'
import { z } from 'zod'
import { defineErrors, systemClock } from '../../kernel/index.ts'
import type { Clock, Logger } from '../../kernel/index.ts'
import { owner } from '../../modules/ipc/caller.ts'
import type { Authenticate } from '../../modules/ipc/caller.ts'
import { Dispatcher } from '../../modules/ipc/dispatch.ts'
import { createHttpServer } from '../../modules/ipc/http-server.ts'
import { OpenStreams } from '../../modules/ipc/open-streams.ts'
import { Router } from '../../modules/ipc/router.ts'
import { listenOnUnixSocket } from '../../modules/ipc/unix-socket.ts'
import { defineContract } from '../../protocols/ipc/endpoint.ts'
import type { Client, Handlers } from '../../protocols/ipc/endpoint.ts'
import { ipcErrors } from '../../protocols/ipc/errors.ts'
import { createClientOf } from '../../sdk/client.ts'

const fakeErrors = defineErrors({
  NZ_FAKE_FULL: {
    message: 'the shop is full',
    fix: ['come back later'],
    status: 409,
    exit: 'conflict',
    retryable: true,
  },
})

const shared = { command: ['fake'], schemaName: 'nz.fake/1', errors: ['NZ_FAKE_FULL'] } as const

export const fakeContract = defineContract({
  add: {
    ...shared,
    method: 'POST',
    path: '/fake/add',
    kind: 'call',
    summary: 'Add two numbers',
    params: z.strictObject({ a: z.number().describe('one'), b: z.number().default(1).describe('other') }),
    result: z.strictObject({ sum: z.number() }),
    capability: 'fake.add',
    deadlineMs: 500,
  },
  echo: {
    ...shared,
    method: 'GET',
    path: '/fake/echo',
    kind: 'call',
    summary: 'Give the params back',
    params: z.strictObject({
      text: z.string().optional().describe('any'),
      count: z.number().optional().describe('any'),
      isLoud: z.boolean().optional().describe('any'),
      names: z.array(z.string()).optional().describe('any'),
    }),
    result: z.unknown(),
    capability: 'fake.read',
  },
  count: {
    ...shared,
    method: 'GET',
    path: '/fake/count',
    kind: 'stream',
    summary: 'Count on',
    params: z.strictObject({
      after: z.string().default('0').describe('place'),
      to: z.number().default(1e9).describe('last'),
      padding: z.number().default(0).describe('bytes in each item'),
    }),
    result: z.strictObject({ place: z.string(), padding: z.string() }),
    resume: { cursor: 'place', param: 'after' },
    capability: 'fake.read',
  },
  talk: {
    ...shared,
    method: 'POST',
    path: '/fake/talk',
    kind: 'duplex',
    summary: 'Send everything back',
    params: z.strictObject({ mode: z.enum(['echo', 'deaf', 'fail', 'flood']).describe('what the node does') }),
    result: z.unknown(),
    capability: 'fake.talk',
  },
})

export interface FakeApi extends AsyncDisposable {
  readonly socketPath: string
  readonly client: Client<typeof fakeContract>
  /** What the handlers did, in order. */
  readonly trace: string[]
  readonly logged: string[]
  readonly server: Server
  stop(): void
}

export async function serveFake({
  authenticate = async () => owner,
  clock = systemClock,
}: { authenticate?: Authenticate; clock?: Clock } = {}): Promise<FakeApi> {
  const dir = await mkdtemp(join(tmpdir(), 'nz-api-'))
  const socketPath = join(dir, 'run', 'node.sock')
  const trace: string[] = []
  const logged: string[] = []
  const log: Logger = { debug() {}, info() {}, warn() {}, error: (event) => void logged.push(event) }
  const stopping = new AbortController()
  const dispatcher = new Dispatcher({ contract: fakeContract, handlers: fakeHandlers(trace), clock, log })
  const streams = new OpenStreams({ clock })
  const router = new Router({
    contract: fakeContract,
    dispatcher,
    authenticate,
    streams,
    clock,
    log,
    signal: stopping.signal,
  })
  const http = createHttpServer(router, { clock, log })
  await listenOnUnixSocket(http.server, socketPath, { signal: AbortSignal.timeout(5_000) })
  return {
    socketPath,
    client: createClientOf<typeof fakeContract>(fakeContract, { socketPath }),
    trace,
    logged,
    server: http.server,
    stop: () => stopping.abort(ipcErrors.NZ_IPC_STOPPING()),
    async [Symbol.asyncDispose]() {
      stopping.abort(ipcErrors.NZ_IPC_STOPPING())
      await http.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

function fakeHandlers(trace: string[]): Handlers<typeof fakeContract> {
  return {
    async add({ a, b }) {
      if (a === 409) throw fakeErrors.NZ_FAKE_FULL({ why: 'it is noon', data: { guests: 7 } })
      if (a === 500) throw new Error('secret detail')
      if (a === 504) await new Promise(() => {})
      return { sum: a + b }
    },
    async echo(params) {
      return params
    },
    async *count({ after, to, padding }, { signal }) {
      try {
        for (let place = Number(after) + 1; place <= to && !signal.aborted; place++) {
          if (place === 13) throw fakeErrors.NZ_FAKE_FULL()
          trace.push(`count ${place}`)
          yield { place: String(place), padding: 'x'.repeat(padding) }
        }
      } finally {
        trace.push('count left')
      }
    },
    async talk({ mode }, duplex) {
      if (mode === 'fail') throw fakeErrors.NZ_FAKE_FULL({ data: { guests: 7 } })
      if (mode === 'deaf') return
      if (mode === 'flood') {
        for (let n = 0; n < 1_000; n++) {
          await duplex.write(new Uint8Array(65_536))
          trace.push(`wrote ${n}`)
        }
        return
      }
      for (let item = await duplex.read(); item !== null; item = await duplex.read()) {
        if ('bytes' in item) await duplex.write(item.bytes)
        else await duplex.send(item.message)
      }
      trace.push('talk ended')
    },
  }
}
