import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Key } from 'interface-datastore/key'
import { SimulatedClock } from '../../kernel/index.ts'
import { MAX_KEPT_RECORD_BYTES, MAX_KEPT_RECORDS, StoredDatastore } from '../../modules/network/datastore.ts'
import { damage, memoryDisk, openStore } from '../fake/storage.ts'
import type { MemoryDisk } from '../fake/storage.ts'

const log = { debug() {}, info() {}, warn() {}, error() {} }
const peer = (n: number): Key => new Key(`/peers/p${String(n).padStart(5, '0')}`)
const one = new Uint8Array([1])

async function open(disk: MemoryDisk) {
  const clock = new SimulatedClock()
  const storage = await openStore({ disk, clock, witnessIntervalMs: 86_400_000 })
  let batches = 0
  const batch = disk.engine.batch.bind(disk.engine)
  disk.engine.batch = async (operations) => {
    batches += 1
    await batch(operations)
  }
  const datastore = new StoredDatastore({ namespace: storage.namespace('network/libp2p'), clock, log })
  await datastore.open()
  return { clock, storage, datastore, batches: () => batches }
}

async function namesOf(datastore: StoredDatastore, prefix?: string): Promise<string[]> {
  const names: string[] = []
  for await (const key of datastore.queryKeys(prefix === undefined ? {} : { prefix })) names.push(key.toString())
  return names
}

describe("libp2p's datastore", () => {
  it('writes what it learns of peers a moment later, all in one go, and has it after a crash', async () => {
    const disk = memoryDisk()
    const { datastore, clock, batches } = await open(disk)
    for (let n = 0; n < 100; n++) await datastore.put(peer(n), one)
    assert.equal(batches(), 0)
    await clock.advance(1_000)
    assert.equal(batches(), 1)
    for (let n = 0; n < 100; n++) await datastore.put(peer(n), new Uint8Array([2]))
    await clock.advance(30_000)
    assert.equal(batches(), 1, 'a change of what is known waits longer')
    await clock.advance(30_000)
    assert.equal(batches(), 2)
    const again = await open(disk)
    assert.deepEqual(await again.datastore.get(peer(7)), new Uint8Array([2]))
    assert.equal((await namesOf(again.datastore)).length, 100)
  })

  it('writes what is left when it is closed', async () => {
    const disk = memoryDisk()
    const { datastore } = await open(disk)
    await datastore.put(peer(1), one)
    await datastore.put(peer(2), one)
    await datastore.delete(peer(1))
    await datastore.close()
    assert.deepEqual(await namesOf((await open(disk)).datastore), [peer(2).toString()])
  })

  it('has every other record on disk when put resolves', async () => {
    const disk = memoryDisk()
    await (await open(disk)).datastore.put(new Key('/dht/record/1'), one)
    const { datastore } = await open(disk)
    await datastore.put(peer(1), one)
    assert.deepEqual(await datastore.get(new Key('/dht/record/1')), one)
    assert.deepEqual(await namesOf(datastore, '/dht'), ['/dht/record/1'])
    assert.equal((await namesOf(datastore)).length, 2)
  })

  it('forgets the peer written longest ago at its bound, also on disk, and refuses what is too large', async () => {
    const disk = memoryDisk()
    const { datastore } = await open(disk)
    for (let n = 0; n <= MAX_KEPT_RECORDS; n++) await datastore.put(peer(n), one)
    assert.equal(await datastore.has(peer(0)), false)
    await assert.rejects(datastore.put(peer(1), new Uint8Array(MAX_KEPT_RECORD_BYTES + 1)), {
      code: 'NZ_NETWORK_LIMITED',
    })
    await datastore.close()
    assert.equal((await namesOf((await open(disk)).datastore)).length, MAX_KEPT_RECORDS)
  })

  it('works in memory while the store is damaged, and stores what it learnt once that was repaired', async () => {
    const disk = memoryDisk()
    const before = await open(disk)
    for (const n of [1, 2]) await before.datastore.put(peer(n), one)
    await before.datastore.close()
    damage(disk)
    const { datastore, storage, clock } = await open(disk)
    assert.equal(datastore.trouble?.code, 'NZ_STORAGE_DAMAGED')
    for (const key of [peer(3), new Key('/dht/record/1')]) await datastore.put(key, one)
    assert.deepEqual(await datastore.get(new Key('/dht/record/1')), one)
    await storage.repair()
    await clock.advance(60_000)
    assert.equal(datastore.trouble, null)
    await clock.advance(1_000)
    assert.equal((await namesOf((await open(disk)).datastore)).length, 3)
  })

  it('writes what a full disk refused when it takes it', async () => {
    const disk = memoryDisk()
    const { datastore, clock } = await open(disk)
    disk.engine.isFull = true
    await datastore.put(peer(1), one)
    await clock.advance(1_000)
    disk.engine.isFull = false
    await clock.advance(90_000)
    assert.equal((await namesOf((await open(disk)).datastore)).length, 1)
  })
})
