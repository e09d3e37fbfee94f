/** The store over the local API: the owner's own records, and what is done for the store as a whole. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { runCli } from '../fake/cli.ts'
import { startApiNode } from '../fake/node.ts'

it('keeps, lists, follows and deletes records', async () => {
  await using node = await startApiNode()
  const { client } = node
  assert.deepEqual(await client.kvPut({ key: 'a', value: 'hello', encoding: 'text' }), { key: 'a', bytes: 5 })
  await client.kvPut({ key: 'b', value: Buffer.from([0xff, 0]).toString('base64'), encoding: 'base64' })
  assert.deepEqual((await client.kvGet({ key: 'a' })).record, { key: 'a', value: 'hello', encoding: 'text' })
  assert.deepEqual((await client.kvGet({ key: 'b' })).record, { key: 'b', value: '/wA=', encoding: 'base64' })
  const { records, hasMore } = await client.kvList({ limit: 1 })
  assert.deepEqual([records, hasMore], [[{ key: 'a', bytes: 5 }], true])
  const stop = new AbortController()
  for await (const change of client.kvWatch({ after: 1 }, { signal: stop.signal })) {
    assert.deepEqual(change, { kind: 'put', key: 'b', cursor: 2 })
    break
  }
  stop.abort()
  assert.deepEqual(await client.kvDelete({ key: 'a' }), { key: 'a', existed: true })
  await assert.rejects(client.kvGet({ key: 'a' }), { code: 'NZ_STORAGE_NOT_FOUND' })
})

it('takes the value of a record from standard input, as it is', async () => {
  await using node = await startApiNode()
  const { client } = node
  const run = async (bytes: Uint8Array, ...words: string[]) =>
    await runCli(['kv', 'put', 'a', ...words], {
      client,
      stdin: (async function* () {
        yield* [bytes.subarray(0, 3), bytes.subarray(3)]
        await Promise.resolve()
      })(),
    })
  assert.deepEqual(await run(Buffer.from('héllo\n'), '-'), { code: 0, stdout: '✔ kept a (7 B)\n', stderr: '' })
  assert.deepEqual((await client.kvGet({ key: 'a' })).record, { key: 'a', value: 'héllo\n', encoding: 'text' })
  assert.equal((await run(Uint8Array.of(0xff, 0, 1, 2), '-', '--ttl-ms', '60000')).code, 0)
  assert.equal((await client.kvGet({ key: 'a' })).record.value, '/wABAg==')
  assert.equal((await run(new Uint8Array(750_000), '-')).code, 0)
  assert.equal((await run(new Uint8Array(750_001), '-')).code, 2)
  assert.equal((await run(Buffer.from('unread'), 'typed')).code, 0)
  assert.equal((await client.kvGet({ key: 'a' })).record.value, 'typed')
  assert.equal((await run(Buffer.from(''), 'LQ==', '--encoding', 'base64')).code, 0)
  assert.equal((await client.kvGet({ key: 'a' })).record.value, '-')
  for (const wrong of [
    ['--encoding', 'hex'],
    ['--ttl-ms', '0'],
  ])
    assert.equal((await run(Buffer.from(''), 'v', ...wrong)).code, 2)
})

it('shows, proves, rotates, repairs and tidies up the store', async () => {
  await using node = await startApiNode()
  const { client } = node
  await client.kvPut({ key: 'a', value: 'hello', encoding: 'text' })
  const { storage } = await client.storageStatus({})
  assert.deepEqual(
    [storage.state, storage.records],
    ['open', storage.namespaces.reduce((n, one) => n + one.records, 0)],
  )
  const kv = storage.namespaces.find(({ name }) => name === 'kv')
  assert.deepEqual(kv, { name: 'kv', version: 1, records: 1, bytes: 6, isDamaged: false })
  assert.deepEqual([(await client.storageCheck({})).isIntact, (await client.storageCheck({})).damaged], [true, []])
  assert.equal((await client.storageRotate({})).storage.generation, storage.generation + 1)
  const gc = await client.storageGc({ quarantined: 30 })
  assert.deepEqual([gc.expired, gc.removed, gc.snapshots], [0, 0, 0])
  assert.ok(gc.bytesAfter > 0)
  assert.equal((await client.storageRepair({})).setAside, 0)
  await assert.rejects(client.storageGc({ quarantined: -1 }), { code: 'NZ_IPC_PARAMS_INVALID' })
})
