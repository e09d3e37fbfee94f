/** Receiving folders: registered until they are closed, watched by whoever asks. */
import { access, constants, realpath, stat } from 'node:fs/promises'
import { isAbsolute } from 'node:path'
import { transfersErrors } from './service.ts'
import type { Clock, Random } from '../../kernel/index.ts'
import type { Inbox, InboxEvent } from './service.ts'
import type { TransferProgress } from './progress.ts'
import type { TransferState } from './state.ts'

const MAX_INBOXES = 256

interface Watcher {
  readonly inboxId: string
  readonly wake: () => void
}

export class Inboxes {
  readonly #state: TransferState
  readonly #clock: Clock
  readonly #random: Random
  readonly #watchers = new Set<Watcher>()
  /** Folders for one file, while that is on its way. */
  readonly #taken = new Set<string>()
  /** What is on its way, by inbox. */
  readonly #active = new Map<string, Set<TransferProgress>>()

  constructor(state: TransferState, clock: Clock, random: Random) {
    this.#state = state
    this.#clock = clock
    this.#random = random
  }

  list(): readonly Inbox[] {
    return this.#state.inboxes
  }

  /** Idempotent for the same folder and peer. @throws NZ_TRANSFERS_DIRECTORY */
  async open(wanted: { directory: string; from: string | null; isOnce: boolean }): Promise<Inbox> {
    const directory = await writableDirectory(wanted.directory)
    const same = this.list().find((inbox) => inbox.directory === directory && inbox.from === wanted.from)
    if (same === undefined && this.#state.inboxes.length >= MAX_INBOXES) {
      throw transfersErrors.NZ_TRANSFERS_DIRECTORY({ why: `there are ${MAX_INBOXES} receiving folders` })
    }
    const inbox: Inbox = {
      id: same?.id ?? `in_${Buffer.from(this.#random.bytes(6)).toString('hex')}`,
      directory,
      from: wanted.from,
      isOnce: wanted.isOnce,
      createdAtMs: this.#clock.nowMs(),
    }
    await this.#state.putInbox(inbox)
    return inbox
  }

  async close(id: string): Promise<void> {
    if (!this.#state.hasInbox(id)) return
    const isDurable = this.#state.removeInbox(id)
    this.wake(id)
    await isDurable
  }

  /**
   * The newest folder that takes files from that peer; one that is for this peer alone goes first.
   *
   * @throws NZ_TRANSFERS_BUSY when it is for one file, and that is on its way
   */
  for(peerId: string): Inbox | undefined {
    const mine = this.list().filter(({ from }) => from === null || from === peerId)
    const inbox = mine.findLast(({ from }) => from === peerId) ?? mine.at(-1)
    if (inbox?.isOnce === true && this.#taken.has(inbox.id)) {
      throw transfersErrors.NZ_TRANSFERS_BUSY({ why: 'the one file this folder is for is on its way' })
    }
    return inbox
  }

  /** A folder for one file is for nobody else until this is called back. */
  reserve({ id, isOnce }: Inbox): () => void {
    if (isOnce) this.#taken.add(id)
    return () => void this.#taken.delete(id)
  }

  /** Shows a transfer to the watchers until `forget`. */
  show(inboxId: string, progress: TransferProgress): void {
    const active = this.#active.get(inboxId) ?? new Set()
    this.#active.set(inboxId, active.add(progress))
    this.wake(inboxId)
  }

  forget(inboxId: string, progress: TransferProgress): void {
    const active = this.#active.get(inboxId)
    active?.delete(progress)
    if (active?.size === 0) this.#active.delete(inboxId)
    this.wake(inboxId)
  }

  wake(inboxId: string): void {
    for (const watcher of this.#watchers) if (watcher.inboxId === inboxId) watcher.wake()
  }

  /** @throws NZ_TRANSFERS_UNKNOWN */
  async *watch(
    id: string,
    { seen, sinceMs, signal }: { seen: readonly string[]; sinceMs: number; signal: AbortSignal },
  ): AsyncGenerator<InboxEvent> {
    const told = new Set(seen)
    const isKnown = this.#state.hasInbox(id) || this.#state.history.some(({ inboxId }) => inboxId === id)
    if (!isKnown) throw transfersErrors.NZ_TRANSFERS_UNKNOWN({ data: { id } })
    while (!signal.aborted) {
      const changed = this.#nextChange(id, signal)
      for (const { inboxId, ...transfer } of this.#state.history) {
        if (inboxId !== id || transfer.state !== 'done' || told.has(transfer.id)) continue
        if ((transfer.endedAtMs ?? 0) < sinceMs) continue
        told.add(transfer.id)
        yield { type: 'received', transfer }
      }
      for (const progress of this.#active.get(id) ?? []) yield { type: 'progress', transfer: progress.snapshot() }
      if (!this.#state.hasInbox(id)) {
        yield { type: 'closed' }
        return
      }
      await changed
    }
  }

  /** Resolves at the next change of the inbox or of what is on its way, at most a few times a second. */
  async #nextChange(inboxId: string, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const watcher = { inboxId, wake: resolve }
    const over = new AbortController()
    this.#watchers.add(watcher)
    signal.addEventListener('abort', () => resolve(), { once: true, signal: over.signal })
    const isMoving = (this.#active.get(inboxId)?.size ?? 0) > 0
    const timer = isMoving ? this.#clock.setTimer(250, resolve, { unref: true }) : null
    try {
      await promise
    } finally {
      timer?.cancel()
      over.abort()
      this.#watchers.delete(watcher)
    }
  }
}

async function writableDirectory(path: string): Promise<string> {
  try {
    if (!isAbsolute(path)) throw new Error('the path is not absolute')
    const directory = await realpath(path)
    if (!(await stat(directory)).isDirectory()) throw new Error('not a folder')
    await access(directory, constants.W_OK | constants.X_OK)
    return directory
  } catch (cause) {
    throw transfersErrors.NZ_TRANSFERS_DIRECTORY({
      cause,
      data: { path },
      ...(cause instanceof Error && !('code' in cause) ? { why: cause.message } : {}),
    })
  }
}
