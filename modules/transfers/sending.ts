/** Everything this node sends. */
import { MAX_OFFERED_NAME_BYTES, TRANSFER_ID_BYTES } from '../../protocols/transfer/limits.ts'
import { OutgoingTransfer } from './outgoing.ts'
import { TransferProgress } from './progress.ts'
import { transfersErrors, transfersEvents } from './service.ts'
import { FileSource, PullSource } from './source.ts'
import type { ModuleContext } from '../../kernel/index.ts'
import type { Contact, ContactsService } from '../contacts/service.ts'
import type { NetworkService } from '../network/service.ts'
import type { Board } from './board.ts'
import type { ReceiptSigner } from './receipts.ts'
import type { SendOptions, Transfer, TransferSnapshot } from './service.ts'
import type { TransferSettings } from './settings.ts'
import type { TransferSource } from './source.ts'

const DEFAULT_TIMEOUT_MS = 300_000

export interface SendingServices {
  readonly context: ModuleContext
  readonly network: NetworkService
  readonly contacts: ContactsService
  readonly board: Board
  readonly receipts: ReceiptSigner
}

interface Running {
  readonly transfer: OutgoingTransfer
  readonly ended: Promise<void>
}

export class Sending {
  readonly #services: SendingServices
  readonly #settings: TransferSettings
  readonly #running = new Map<string, Running>()

  constructor(services: SendingServices, settings: TransferSettings) {
    this.#services = services
    this.#settings = settings
  }

  async sendFile(options: SendOptions & { readonly path: string }): Promise<Transfer> {
    const contact = this.#check(options)
    const source = await FileSource.open(options.path, options.name)
    return this.#start(contact, source, options)
  }

  async sendBytes(options: SendOptions & { readonly pull: () => Promise<Uint8Array | null> }): Promise<Transfer> {
    return this.#start(this.#check(options), new PullSource(options.pull), options)
  }

  /** `false` when no such transfer is going out. */
  async cancel(id: string): Promise<boolean> {
    const running = this.#running.get(id)
    running?.transfer.cancel('cancelled')
    await running?.ended
    return running !== undefined
  }

  async stop(): Promise<void> {
    const all = [...this.#running.values()]
    for (const { transfer } of all) transfer.cancel('stopping')
    await Promise.allSettled(all.map(async ({ ended }) => await ended))
  }

  #check({ peer, name }: SendOptions): Contact {
    const contact = this.#services.contacts.resolve(peer)
    if (name.length === 0 || Buffer.byteLength(name) > MAX_OFFERED_NAME_BYTES || !name.isWellFormed()) {
      throw transfersErrors.NZ_TRANSFERS_NAME()
    }
    if (this.#running.size >= this.#settings.maxOutgoing) throw transfersErrors.NZ_TRANSFERS_LIMIT()
    return contact
  }

  #start(contact: Contact, source: TransferSource, { name, timeoutMs, signal }: SendOptions): Transfer {
    const { board, contacts, context, network, receipts } = this.#services
    const { clock, random } = context
    const transferId = random.bytes(TRANSFER_ID_BYTES)
    const { peerId } = contact
    const addresses = (): readonly string[] => contacts.get(peerId)?.addresses ?? contact.addresses
    const { size } = source
    const progress = new TransferProgress(clock, {
      id: Buffer.from(transferId).toString('hex'),
      direction: 'sending',
      peerId,
      peer: contact.name,
      name,
      state: 'waiting',
      size,
      bytes: 0,
      startedAtMs: clock.nowMs(),
      endedAtMs: null,
      sha256: null,
      path: null,
      receipt: null,
      code: null,
    })
    const transfer = new OutgoingTransfer(
      { network, clock, random, checkReceipt: (message, facts) => receipts.check(message, facts) },
      { transferId, addresses, source, progress, timeoutMs: timeoutMs ?? DEFAULT_TIMEOUT_MS },
    )
    board.add(progress)
    context.events.emit(transfersEvents.started, { id: progress.id, peerId, name, direction: 'sending', size })
    this.#running.set(progress.id, { transfer, ended: this.#run(transfer, progress, signal) })
    return progress
  }

  async #run(transfer: OutgoingTransfer, progress: TransferProgress, signal: AbortSignal): Promise<void> {
    const { board, context } = this.#services
    const onAbort = (): void => transfer.cancel('gone')
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) transfer.cancel('gone')
    try {
      this.#tellDelivered(await transfer.run())
      await board.finish(progress, null)
    } catch (error) {
      context.log.error('transfers.notRecorded', { id: progress.id, error })
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#running.delete(progress.id)
    }
  }

  #tellDelivered({ state, id, peerId, name, size, sha256, receipt }: TransferSnapshot): void {
    if (state !== 'done' || size === null || sha256 === null || receipt === null) return
    this.#services.context.events.emit(transfersEvents.delivered, {
      id,
      peerId,
      name,
      size,
      sha256,
      receipt: receipt.id,
    })
  }
}
