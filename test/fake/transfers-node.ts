/** The transfers module alone on the in-memory mesh, receiving into a real temporary folder; `files` survive restarts. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createEventBus, LifetimeScope, seededRandom, systemClock } from '../../kernel/index.ts'
import { contactsErrors } from '../../modules/contacts/service.ts'
import transfersModule from '../../modules/transfers/index.ts'
import { transferSettings } from '../../modules/transfers/settings.ts'
import { memoryHome } from './home.ts'
import { fakeIdentity } from './identity.ts'
import { diskOf, openStore } from './storage.ts'
import { trustingAll } from './trust.ts'
import type { Clock, EventBus } from '../../kernel/index.ts'
import type { Contact, ContactsService } from '../../modules/contacts/service.ts'
import type { NetworkService } from '../../modules/network/service.ts'
import type { TransfersService } from '../../modules/transfers/service.ts'
import type { MemoryHome } from './home.ts'
import type { FakeNetwork } from './network.ts'
import type { MemoryDisk } from './storage.ts'

export interface TransfersNode {
  readonly transfers: TransfersService
  readonly network: NetworkService
  readonly peerId: string
  readonly files: Map<string, Uint8Array>
  readonly disk: MemoryDisk
  readonly events: EventBus
  readonly book: Map<string, Contact>
  readonly logged: ReadonlyArray<{ readonly event: string; readonly fields: object | undefined }>
  /** In order. */
  stop(): Promise<void>
  /** As a crash: the peer vanishes from the mesh and what is not on disk is lost. */
  crash(): Promise<void>
}

export interface TransfersNodeInit {
  readonly seed: number
  readonly files?: Map<string, Uint8Array>
  /** Default: one over `files`. */
  readonly home?: MemoryHome
  readonly clock?: Clock
  readonly settings?: object
}

export async function transfersNode(mesh: FakeNetwork, init: TransfersNodeInit): Promise<TransfersNode> {
  const { seed, files = new Map(), clock = systemClock, settings = {} } = init
  const identity = fakeIdentity(seed)
  const { peerId } = identity.self
  const scope = new LifetimeScope()
  const network = mesh.add(peerId)
  const book = new Map<string, Contact>()
  const logged: Array<{ event: string; fields: object | undefined }> = []
  const note = (event: string, fields?: object): void => void logged.push({ event, fields })
  const context = {
    name: 'transfers',
    log: { debug: note, info: note, warn: note, error: note },
    events: createEventBus({ onListenerError: () => undefined }),
    clock,
    random: seededRandom(Math.trunc(clock.monotonicMs() * 1_000) + seed),
    scope,
    fail: (error: unknown) => note('failed', { error }),
    finish: () => undefined,
  }
  const home = init.home ?? memoryHome(files)
  const disk = diskOf(home.files)
  const storage = await openStore({ disk, home, clock, events: context.events })
  const services = { home, storage, identity, network, contacts: bookOf(book), trust: trustingAll }
  const instance = await transfersModule.setup(context, services, transferSettings.parse(settings))
  await instance.start?.({ signal: scope.signal })
  return {
    transfers: instance.services.transfers,
    network,
    peerId,
    files: home.files,
    disk,
    events: context.events,
    book,
    logged,
    async stop() {
      await instance.stop?.({ signal: scope.signal })
      mesh.remove(peerId)
      await scope[Symbol.asyncDispose]()
      await storage.close()
    },
    async crash() {
      const { records } = disk.engine
      const snapshot = new Map(records)
      mesh.remove(peerId)
      await scope[Symbol.asyncDispose]()
      await storage.close()
      records.clear()
      for (const [place, bytes] of snapshot) records.set(place, bytes)
    },
  }
}

/** Makes the two contacts of each other, under the names given. */
export function introduce(left: TransfersNode, right: TransfersNode, names: readonly [string, string]): void {
  left.book.set(right.peerId, contactOf(right, names[1]))
  right.book.set(left.peerId, contactOf(left, names[0]))
}

export async function temporaryFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'nz-transfer-'))
  return { path, [Symbol.asyncDispose]: async () => await rm(path, { recursive: true, force: true }) }
}

function contactOf({ peerId, network }: TransfersNode, name: string): Contact {
  return { peerId, id: peerId, name, addresses: network.addresses(), verifiedBy: 'words', addedAtMs: 0 }
}

function bookOf(book: ReadonlyMap<string, Contact>): ContactsService {
  const absent = (): never => {
    throw new Error('the fake address book does not change')
  }
  return {
    list: () => [...book.values()],
    get: (peerId) => book.get(peerId),
    resolve(reference) {
      const found = [...book.values()].find(({ name, peerId }) => name === reference || peerId === reference)
      if (found === undefined) throw contactsErrors.NZ_CONTACTS_NOT_FOUND({ data: { reference } })
      return found
    },
    add: () => {
      throw new Error('nobody is added here')
    },
    rename: absent,
    remove: absent,
  }
}
