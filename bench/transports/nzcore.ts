/** nzcore's own network: the modules a node has for it, and one stream of its NetworkService. */
import { Kernel } from '../../kernel/index.ts'
import type { Logger } from '../../kernel/index.ts'
import home from '../../modules/home/index.ts'
import identity from '../../modules/identity/index.ts'
import network from '../../modules/network/index.ts'
import storage from '../../modules/storage/index.ts'
import { NetworkService } from '../../modules/network/service.ts'
import type { PeerStream } from '../../modules/network/service.ts'
import type { NativeChoice } from '../../modules/network/muxer/backend.ts'
import { receiveMany, sendMany } from '../../modules/network/frames.ts'
import { homeOf } from '../../protocols/ipc/home.ts'
import { MAX_MESSAGE_BYTES } from '../messages.ts'
import type { Pipe, Transport } from '../pipe.ts'

const PROTOCOL = '/nzcore-bench/1'
const BATCH_BYTES = 64 * 1024

const log: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: (event, fields) => void process.stderr.write(`${event} ${JSON.stringify(fields)}\n`),
}

/** Connections of one program of this machine in a second; the default would be what `dial` measures. */
const MANY = { handshakesPerSecondFromLoopback: 1_000_000 }

async function startNode(folder: string, listen: readonly string[], native: NativeChoice): Promise<Kernel> {
  const kernel = new Kernel({
    modules: [home, identity, storage, network],
    config: {
      home: { ...homeOf({ env: { NZ_HOME: folder } }) },
      network: { listen: [...listen], native, limits: MANY },
    },
    log,
  })
  await kernel.start()
  return kernel
}

/** One write a message. */
export function plainPipe(stream: PeerStream): Pipe {
  /** Never resolves once reading has stopped. */
  let next: Promise<void> | undefined
  return {
    write: (bytes) => stream.write(bytes),
    flush() {},
    onBytes(listener) {
      const use = (bytes: Uint8Array): Promise<void> | undefined => {
        listener(bytes)
        return next
      }
      void stream.consume(use).catch(() => stream.reset())
    },
    pause: () => void (next = new Promise(() => undefined)),
    async close() {
      stream.reset()
    },
  }
}

/** Through the batch interface: what is written in one turn leaves as frames in one piece. */
function batchesOf(stream: PeerStream): Pipe {
  let held: Uint8Array[] = []
  let heldBytes = 0
  /** Never resolves once reading has stopped. */
  let next: Promise<void> | undefined
  const send = (): Promise<void> => {
    const frames = held
    held = []
    heldBytes = 0
    return sendMany(stream, frames)
  }
  return {
    write(bytes) {
      held.push(bytes)
      heldBytes += bytes.byteLength
      return heldBytes < BATCH_BYTES ? undefined : send()
    },
    flush: () => void send(),
    onBytes(listener) {
      const use = (frames: readonly Uint8Array[]): Promise<void> | undefined => {
        for (const frame of frames) listener(frame)
        return next
      }
      receiveMany(stream, use, { maxFrameBytes: MAX_MESSAGE_BYTES }).catch(() => stream.reset())
    },
    pause: () => void (next = new Promise(() => undefined)),
    async close() {
      stream.reset()
    },
  }
}

function nodeOf(native: NativeChoice, pipeOf = plainPipe): Transport {
  return {
    async serve(onPipe, { folder }) {
      const kernel = await startNode(folder, ['/ip4/127.0.0.1/tcp/0'], native)
      const service = kernel.get(NetworkService)
      service.handleStreams(
        PROTOCOL,
        async (stream, { signal }) => {
          onPipe(pipeOf(stream))
          const { promise, resolve } = Promise.withResolvers<void>()
          for (const each of [signal, stream.signal]) each.addEventListener('abort', () => resolve(), { once: true })
          await promise
        },
        { signal: new AbortController().signal },
      )
      return { address: service.addresses()[0] ?? '', close: async () => await kernel.stop() }
    },
    async connect(address, { folder }) {
      const kernel = await startNode(folder, [], native)
      const service = kernel.get(NetworkService)
      const peerId = address.slice(address.lastIndexOf('/') + 1)
      const signal = AbortSignal.timeout(30_000)
      await service.connect(peerId, { addresses: [address], signal })
      const dial = async (): Promise<void> => {
        await service.disconnect(peerId, { signal: AbortSignal.timeout(30_000) })
        await service.connect(peerId, { addresses: [address], signal: AbortSignal.timeout(30_000) })
      }
      return {
        dial,
        open: async () => pipeOf(await service.openStream(peerId, PROTOCOL, { signal: AbortSignal.timeout(30_000) })),
        close: async () => await kernel.stop(),
      }
    },
  }
}

/** As a node has it: native where the machine allows it. */
export const nzcore: Transport = nodeOf('auto')
/** The same through the batch interface. */
export const nzcoreBatched: Transport = nodeOf('auto', batchesOf)
/** With its TypeScript stack. */
export const nzcoreTypescript: Transport = nodeOf('off')
