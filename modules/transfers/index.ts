/** Files and byte streams between contacts: resumable, verified, receipted. spec/NZ-TRANSFER-01. */
import { defineModule } from '../../kernel/index.ts'
import { ContactsService } from '../contacts/service.ts'
import { HomeService } from '../home/service.ts'
import { IdentityService } from '../identity/service.ts'
import { NetworkService } from '../network/service.ts'
import { StorageService } from '../storage/service.ts'
import { TrustService } from '../trust/service.ts'
import { Board } from './board.ts'
import { Inboxes } from './inboxes.ts'
import { Listeners } from './listeners.ts'
import { ReceiptSigner } from './receipts.ts'
import { Receiving } from './receiving.ts'
import { Sending } from './sending.ts'
import { transfersErrors, transfersEvents, TransfersService } from './service.ts'
import { transferSettings } from './settings.ts'
import { TransferState } from './state.ts'
import type { TransferSnapshot } from './service.ts'

export default defineModule({
  name: 'transfers',
  config: transferSettings,
  requires: {
    home: HomeService,
    storage: StorageService,
    identity: IdentityService,
    network: NetworkService,
    contacts: ContactsService,
    trust: TrustService,
  },
  provides: { transfers: TransfersService },
  emits: transfersEvents,
  capabilities: [],
  restart: 'permanent',

  setup(context, { home, storage, identity, network, contacts, trust }, settings) {
    let isStarted = false
    const takeUpLate = async (): Promise<void> => {
      await receiving.takeUp().catch((error: unknown) => context.log.error('transfers.notTakenUp', { error }))
    }
    const { historyLimit } = settings
    const state = new TransferState(
      { storage, home },
      { historyLimit, onLoaded: () => void (isStarted && takeUpLate()) },
    )
    const board = new Board(state, context)
    const inboxes = new Inboxes(state, context.clock, context.random)
    const listeners = new Listeners()
    const receipts = new ReceiptSigner(identity)
    const sending = new Sending({ context, network, contacts, board, receipts }, settings)
    const receiving: Receiving = new Receiving(
      { context, network, contacts, trust, state, board, inboxes, listeners, receipts },
      settings,
    )
    const peerOf = (from: string | undefined): string | null =>
      from === undefined ? null : contacts.resolve(from).peerId
    const all = (): TransferSnapshot[] => [
      ...board.active().map((progress) => progress.snapshot()),
      ...receiving.waiting(),
      ...board.recent(),
    ]
    const service: TransfersService = {
      list: () => all(),
      inboxes: () => inboxes.list(),
      sendFile: async (options) => await sending.sendFile(options),
      sendBytes: async (options) => await sending.sendBytes(options),
      openInbox: async ({ directory, from, isOnce = false }) =>
        await inboxes.open({ directory, from: peerOf(from), isOnce }),
      watchInbox: (id, options) => inboxes.watch(id, options),
      closeInbox: async (id) => await inboxes.close(id),
      listen: async ({ name, from, consumer, signal }) =>
        await receiving.listen({ name, from: peerOf(from), consumer }, signal),
      cancel: async (id) => {
        const open = all().filter(({ endedAtMs }) => endedAtMs === null)
        const found = open.filter((one) => one.id === id || (id.length >= 6 && one.id.startsWith(id)))
        const [transfer] = found
        if (transfer === undefined || found.length > 1) throw transfersErrors.NZ_TRANSFERS_UNKNOWN({ data: { id } })
        const isEnded = await (transfer.direction === 'sending' ? sending : receiving).cancel(transfer.id)
        if (!isEnded) throw transfersErrors.NZ_TRANSFERS_UNKNOWN({ data: { id } })
        return all().find((one) => one.id === transfer.id) ?? { ...transfer, state: 'cancelled' }
      },
    }
    return {
      services: { transfers: service },
      async start() {
        await state.load()
        await receiving.start(context.scope.signal)
        isStarted = true
      },
      health: async () => await Promise.resolve(state.health()),
      stop: async () => {
        await Promise.all([sending.stop(), receiving.stop()])
      },
    }
  },
})
