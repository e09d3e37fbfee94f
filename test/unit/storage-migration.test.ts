/** A migration that ends anywhere: the version before or the new one is there, whole, and nothing is left behind. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryEngine } from '../../modules/storage/memory-engine.ts'
import { memoryDisk, openStore } from '../fake/storage.ts'
import type { EngineOperation } from '../../modules/storage/engine.ts'
import type { NamespaceSchema } from '../../modules/storage/service.ts'

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))
const { signal } = new AbortController()
/** Two batches of a copy. */
const RECORDS = 520

const schema: NamespaceSchema = {
  version: 2,
  migrations: [{ to: 2, migrate: ({ key, value }) => [{ key: `new/${key}`, value: Buffer.concat([value, value]) }] }],
}

/** A disk that was pulled out after so many batches. */
class PulledEngine extends MemoryEngine {
  left: number

  constructor(records: Map<string, Uint8Array>, left: number) {
    super(records)
    this.left = left
  }

  override async batch(operations: readonly EngineOperation[]): Promise<void> {
    if (this.left-- <= 0) throw new Error('IO error: No such device')
    await super.batch(operations)
  }

  override async probe(): Promise<void> {
    throw await Promise.resolve(new Error('ENODEV'))
  }
}

it('is there whole or not at all after a crash at any write', { timeout: 60_000 }, async () => {
  const disk = memoryDisk()
  const storage = await openStore({ disk })
  const all = Array.from({ length: RECORDS }, (_, n) => ({ type: 'put' as const, key: `k${n}`, value: bytes(`v${n}`) }))
  await storage.namespace('n').batch(all)
  await storage.close()
  const outcomes = new Set<string>()
  for (let batches = 0, isDone = false; !isDone; batches++) {
    const engine = new PulledEngine(new Map(disk.engine.records), batches)
    const files = new Map(disk.files)
    const crashed = await openStore({ disk: { engine, files } })
    await crashed
      .namespace('n', schema)
      .migrate({ signal })
      .catch((error: unknown) => assert.equal((error as { code?: string }).code, 'NZ_STORAGE_READ_ONLY'))
    isDone = engine.left >= 0
    // The process is gone; what is on disk is opened by another one.
    const after = { engine: new MemoryEngine(new Map(engine.records)), files: new Map(files) }
    await crashed.close()
    const opened = await openStore({ disk: after })
    assert.equal(opened.status().state, 'open')
    const version = opened.status().namespaces[0]?.version ?? 0
    outcomes.add(`version ${version}`)
    assert.equal(opened.status().records, RECORDS)
    const store = opened.namespace('n', version === 1 ? { version: 1 } : schema)
    const key = version === 1 ? 'k7' : 'new/k7'
    assert.equal(Buffer.from((await store.get(key)) ?? []).toString(), version === 1 ? 'v7' : 'v7v7')
    const report = await opened.namespace('n', schema).migrate({ signal })
    assert.equal(report.from, version)
    assert.equal((await opened.check({ signal })).isIntact, true)
    await opened.close()
    const isRecord = ([place]: [string, Uint8Array]): boolean => place.startsWith('72')
    assert.equal([...after.engine.records].filter(isRecord).length, RECORDS)
  }
  assert.deepEqual([...outcomes], ['version 1', 'version 2'])
})

it('keeps the version with the most records when a repair finds two and no head', async () => {
  const disk = memoryDisk()
  const storage = await openStore({ disk })
  for (const key of ['a', 'b', 'c']) await storage.namespace('n').put(key, bytes(key))
  let copied: Map<string, Uint8Array> | null = null
  const migrate: NonNullable<NamespaceSchema['migrations']>[number]['migrate'] = ({ key, value }) => {
    if (key === 'c') copied = new Map(disk.engine.records)
    return [{ key, value }]
  }
  await storage.namespace('n', { version: 2, migrations: [{ to: 2, migrate }] }).migrate({ signal })
  await storage.close()
  const records = new Map([...(copied ?? []), ...disk.engine.records])
  records.delete('68')
  const hurt = await openStore({ disk: { engine: new MemoryEngine(records), files: disk.files } })
  assert.equal(hurt.status().state, 'safe')
  const { kept, setAside } = await hurt.repair()
  assert.deepEqual([kept, setAside, hurt.status().namespaces.map(({ version }) => version)], [3, 3, [2]])
  assert.equal((await hurt.check({ signal })).isIntact, true)
  await hurt.close()
})

it('takes no schema whose migrations do not lead to its version', async () => {
  const storage = await openStore()
  const migrate = (): readonly [] => []
  for (const schema of [
    { version: 0 },
    { version: 65_536 },
    { version: 3, migrations: [{ to: 2, migrate }] },
    {
      version: 3,
      migrations: [
        { to: 3, migrate },
        { to: 2, migrate },
      ],
    },
    { version: 1, migrations: [{ to: 1, migrate }] },
  ]) {
    assert.throws(() => storage.namespace('n', schema), TypeError)
  }
  await storage.namespace('n').put('a', bytes('x'))
  await assert.rejects(storage.namespace('n', { version: 3, migrations: [{ to: 3, migrate }] }).migrate({ signal }), {
    code: 'NZ_STORAGE_MIGRATION_FAILED',
  })
  await storage.close()
})
