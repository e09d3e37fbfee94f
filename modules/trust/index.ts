/** How far this node trusts peers: its statements and everybody's, replicated, and the policy that follows. */
import { z } from 'zod'
import { defineModule, isNzError } from '../../kernel/index.ts'
import { ContactsService } from '../contacts/service.ts'
import { HomeService, RESTORED_FILE } from '../home/service.ts'
import { IdentityService } from '../identity/service.ts'
import { NetworkService } from '../network/service.ts'
import { storageEvents, StorageService } from '../storage/service.ts'
import { hangUpOnRevoked } from './hang-up.ts'
import { followContacts, stateContacts } from './contact-statements.ts'
import { TrustLedger } from './ledger.ts'
import { peerIdOfKey } from './peer-key.ts'
import { policyConfig } from './policy.ts'
import { Replication } from './replication.ts'
import { trustEvents, TrustService } from './service.ts'
import { StoredTime } from './stored-time.ts'
import { createTrust, mayDo } from './trust.ts'
import { UpdateStore } from './update-store.ts'
import type { Key } from '../../protocols/trust/update.ts'

/** How often the latest time is looked at and, when it is due, kept. */
const KEEP_TIME_EVERY_MS = 60_000

export default defineModule({
  name: 'trust',
  config: z.strictObject({ policy: policyConfig.prefault({}) }),
  requires: {
    home: HomeService,
    identity: IdentityService,
    network: NetworkService,
    contacts: ContactsService,
    storage: StorageService,
  },
  provides: { trust: TrustService },
  emits: trustEvents,
  capabilities: [],
  restart: 'permanent',

  async setup(context, { home, identity, network, contacts, storage }, { policy }) {
    const { events, scope, clock, log } = context
    const time = new StoredTime(clock, storage.namespace('trust/state'))
    const store = new UpdateStore(storage.namespace('trust/updates'))
    const ledger = new TrustLedger({ identity, store, time, isContact: (peer) => isContact(contacts, peer) })
    const { signal } = scope
    const may: TrustService['may'] = (peerId, act) => mayDo(ledger, policy, peerId, act)
    const ownLogHeard = async (): Promise<void> => {
      await home.remove(RESTORED_FILE)
      log.info('trust.ownLogHeard')
      await stateContacts({ contacts, ledger, trust, log })
    }
    const onOwnLogHeard = (): void => {
      ownLogHeard().catch((error: unknown) => log.warn('trust.restoreNotForgotten', { error }))
    }
    const replication = new Replication({ ...context, ledger, network, may, onOwnLogHeard }, { signal })
    const trust = createTrust({ ledger, replication, events, policy, ownLogHeard })
    const load = async (options: { readonly signal: AbortSignal }): Promise<void> => {
      if (ledger.trouble === null) return
      await ledger.load(options)
      if ((await home.read(RESTORED_FILE)) !== null && hasSpoken(ledger, contacts)) ledger.standpoint.doubtOwnLog()
      if (ledger.trouble === null) await stateContacts({ contacts, ledger, trust, log })
      else log.error('trust.notRead', { error: ledger.trouble })
    }
    return {
      services: { trust },
      async start(options) {
        await load(options)
        // A repair of the store, or room on the disk, brings it back.
        events.on(storageEvents.writable, async () => await load({ signal }), { signal })
        network.refusePeers((peerId) => !may(peerId, 'connect'), { signal })
        hangUpOnRevoked({ network, events, clock, log, may }, { signal })
        replication.start()
        followContacts({ ledger, trust, events, log }, { signal })
        const keepTime = (): void => {
          time.keep().catch((error: unknown) => log.warn('trust.timeNotKept', { error }))
          timer = clock.setTimer(KEEP_TIME_EVERY_MS, keepTime, { unref: true })
        }
        let timer = clock.setTimer(KEEP_TIME_EVERY_MS, keepTime, { unref: true })
        scope.defer(() => timer.cancel())
      },
      async health() {
        const trouble = ledger.trouble
        if (trouble === null) return { state: 'healthy' }
        const why = `${trouble.why ?? trouble.message}: nobody is let in until it is known who was revoked`
        return { state: 'degraded', code: trouble.code, why }
      },
    }
  },
})

/** A node that has said nothing and knows nobody has nobody to ask either. */
function hasSpoken(ledger: TrustLedger, contacts: Pick<ContactsService, 'list'>): boolean {
  return ledger.replica.log(ledger.self) !== undefined || contacts.list().length > 0
}

/** Nobody counts as a contact while the address book cannot be read. */
function isContact(contacts: Pick<ContactsService, 'get'>, peer: Key): boolean {
  try {
    return contacts.get(peerIdOfKey(peer)) !== undefined
  } catch (error) {
    if (isNzError(error)) return false
    throw error
  }
}
