/** Two nodes of the in-memory mesh that know each other, a folder for one to receive into, and contents to send. */
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { seededRandom } from '../../kernel/index.ts'
import { createFakeNetwork } from './network.ts'
import { introduce, temporaryFolder, transfersNode } from './transfers-node.ts'
import type { Inbox } from '../../modules/transfers/service.ts'
import type { FakeNetwork } from './network.ts'
import type { TransfersNode, TransfersNodeInit } from './transfers-node.ts'

export const MIB = 1_048_576
/** Of everything in one file of tests. */
export const signal = AbortSignal.timeout(60_000)

export function content(bytes: number, seed = 1): Uint8Array {
  const block = seededRandom(seed).bytes(Math.min(bytes, 65_521))
  const whole = new Uint8Array(bytes)
  for (let at = 0; at < bytes; at += block.length) whole.set(block.subarray(0, bytes - at), at)
  return whole
}

export const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

export interface Pair extends AsyncDisposable {
  readonly mesh: FakeNetwork
  readonly desk: TransfersNode
  laptop: TransfersNode
  readonly folder: string
  readonly inboxDir: string
  readonly restart: (settings?: object) => Promise<void>
  readonly file: (name: string, bytes: Uint8Array) => Promise<string>
  readonly inbox: () => Promise<Inbox>
}

export async function pair(
  init: { desk?: Partial<TransfersNodeInit>; laptop?: Partial<TransfersNodeInit> } = {},
): Promise<Pair> {
  const mesh = createFakeNetwork()
  const folder = await temporaryFolder()
  const inboxDir = join(folder.path, 'inbox')
  await mkdir(inboxDir)
  const desk = await transfersNode(mesh, { seed: 1, ...init.desk })
  const made: Pair = {
    mesh,
    desk,
    laptop: await transfersNode(mesh, { seed: 2, ...init.laptop }),
    folder: folder.path,
    inboxDir,
    async restart(settings) {
      await made.laptop.crash()
      made.laptop = await transfersNode(mesh, { seed: 2, files: made.laptop.files, ...(settings && { settings }) })
      introduce(desk, made.laptop, ['desk', 'laptop'])
    },
    async file(name, bytes) {
      const path = join(folder.path, name)
      await writeFile(path, bytes)
      return path
    },
    inbox: async () => await made.laptop.transfers.openInbox({ directory: inboxDir }),
    async [Symbol.asyncDispose]() {
      await desk.stop()
      await made.laptop.stop()
      await folder[Symbol.asyncDispose]()
    },
  }
  introduce(desk, made.laptop, ['desk', 'laptop'])
  return made
}

/** Gives the pieces, then ends. */
export function pullOf(pieces: readonly Uint8Array[]): () => Promise<Uint8Array | null> {
  let next = 0
  return async () => pieces[next++] ?? null
}

/** Polls in turns of the event loop. */
export async function until<T>(find: () => T | undefined): Promise<T> {
  for (;;) {
    const found = find()
    if (found !== undefined) return found
    signal.throwIfAborted()
    await new Promise((resolve) => setImmediate(resolve))
  }
}
