/**
 * A peer that is gone without a word: killed, or there for the system and for nobody else. Whoever writes to it or waits
 * for it gets an error with a code, and nothing waits for ever.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, it } from 'node:test'
import { isNzError } from '../../kernel/index.ts'
import { startNetworkNode } from '../fake/network-node.ts'
import type { ChildProcess } from 'node:child_process'
import type { NetworkConfig } from '../../modules/network/config.ts'
import type { PeerStream } from '../../modules/network/service.ts'

const LIMIT_MS = 60_000
const child = resolve(import.meta.dirname, '../fake/network-child.ts')

interface Where {
  readonly peerId: string
  readonly addresses: readonly string[]
}

async function peer(native: string): Promise<Where & { readonly process: ChildProcess; end(): Promise<void> }> {
  const started = spawn(process.execPath, [child, native], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(createInterface({ input: started.stdout }), 'line')) as [string]
  const ended = once(started, 'close')
  return {
    ...(JSON.parse(line) as Where),
    process: started,
    async end() {
      started.kill('SIGKILL')
      await ended
    },
  }
}

/** Writes until it cannot; what the writer and the reader of the stream get. */
async function outcome(stream: PeerStream, onBytes: () => void): Promise<[unknown, unknown]> {
  const piece = new Uint8Array(64 * 1024)
  const write = async (): Promise<void> => {
    for (;;) await stream.write(piece)
  }
  const read = async (): Promise<void> => {
    for (let chunk = await stream.read(); ; chunk = await stream.read()) {
      if (chunk === null) throw new Error('a cut looked like an end')
      onBytes()
    }
  }
  return (await Promise.all([write(), read()].map(async (each) => await each.catch((error: unknown) => error)))) as [
    unknown,
    unknown,
  ]
}

for (const native of ['auto', 'epoll', 'off'] as const satisfies readonly NetworkConfig['native'][])
  describe(`a peer that is gone without a word (${native})`, { timeout: LIMIT_MS * 2 }, () => {
    for (const [how, signal] of [
      ['killed in the middle of a transfer', 'SIGKILL'],
      ['stopped: the system still takes its bytes', 'SIGSTOP'],
    ] as const)
      it(`is ${how}: writer and reader hear of it`, async () => {
        const far = await peer(native)
        // One that is only slow is none that is gone.
        const impatient = signal === 'SIGSTOP' ? { keepAliveIntervalMs: 500, keepAliveTimeoutMs: 3_000 } : {}
        await using near = await startNetworkNode({ config: { native, listen: [], ...impatient } })
        try {
          const limit = AbortSignal.timeout(LIMIT_MS)
          await near.network.connect(far.peerId, { addresses: far.addresses, signal: limit })
          const stream = await near.network.openStream(far.peerId, '/echo/1', { signal: limit })
          const flowing = Promise.withResolvers<void>()
          const ended = outcome(stream, () => flowing.resolve())
          await Promise.race([flowing.promise, ended])
          far.process.kill(signal)
          for (const error of await ended) assert.ok(isNzError(error, 'NZ_NETWORK_STREAM_RESET'), String(error))
          assert.ok(stream.signal.aborted)
          while (near.network.peer(far.peerId)?.state === 'connected') await new Promise((done) => setTimeout(done, 5))
          // Nothing of it is kept.
          while (near.network.counters().bufferedBytes > 0) await new Promise((done) => setTimeout(done, 5))
        } finally {
          await far.end()
        }
      })
  })
