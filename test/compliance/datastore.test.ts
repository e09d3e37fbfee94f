/** The official suite of interface-datastore against libp2p's datastore in the node's store. */
import './mocha-globals.ts'
import { interfaceDatastoreTests } from 'interface-datastore-tests'
import { systemClock } from '../../kernel/index.ts'
import { StoredDatastore } from '../../modules/network/datastore.ts'
import { openStore } from '../fake/storage.ts'
import type { Storage } from '../../modules/storage/storage.ts'

const log = { debug() {}, info() {}, warn() {}, error() {} }
const stores = new Map<StoredDatastore, Storage>()

interfaceDatastoreTests({
  async setup() {
    const storage = await openStore()
    const datastore = new StoredDatastore({ namespace: storage.namespace('network/libp2p'), clock: systemClock, log })
    await datastore.open()
    stores.set(datastore, storage)
    return datastore
  },
  async teardown(datastore) {
    await datastore.close()
    await stores.get(datastore)?.close()
  },
})
