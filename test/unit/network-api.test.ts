import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createEventBus, isNzError, knownErrors, systemClock } from '../../kernel/index.ts'
import { networkHandlers } from '../../modules/ipc/handlers/network.ts'
import { RoundTrips } from '../../modules/ipc/handlers/round-trips.ts'
import { contactsErrors } from '../../modules/contacts/service.ts'
import { networkContract } from '../../protocols/ipc/contract/network.ts'
import { createFakeNetwork } from '../fake/network.ts'
import { fakeIdentity } from '../fake/identity.ts'
import type { Contact } from '../../modules/contacts/service.ts'

const signal = AbortSignal.timeout(120_000)

function setUp() {
  const mesh = createFakeNetwork()
  const events = createEventBus({ onListenerError: () => undefined })
  const desk = mesh.add(fakeIdentity(1).self.peerId, { events })
  const laptop = mesh.add(fakeIdentity(2).self.peerId)
  const { peerId, id } = fakeIdentity(2).self
  const contact: Contact = {
    peerId,
    id,
    name: 'laptop',
    addresses: laptop.addresses(),
    verifiedBy: 'words',
    addedAtMs: 0,
  }
  const contacts = {
    get: (asked: string) => (asked === peerId ? contact : undefined),
    resolve(reference: string) {
      if ([contact.name, contact.id, contact.peerId].includes(reference)) return contact
      throw contactsErrors.NZ_CONTACTS_NOT_FOUND()
    },
  }
  const handlers = networkHandlers({ network: desk, contacts, events, clock: systemClock })
  return { mesh, desk, laptop, handlers, peerId, id }
}

const connectTo = { addresses: [], timeoutMs: 1_000 }

describe('network endpoints', () => {
  it('connect by name, id, peer id and address', async () => {
    const { handlers, peerId, id, laptop } = setUp()
    for (const peer of ['laptop', id, peerId, laptop.addresses()[0] ?? '']) {
      const answer = await handlers.peersConnect({ peer, ...connectTo }, { signal })
      assert.equal(networkContract.peersConnect.result.parse(answer).peer.state, 'connected')
      assert.equal(answer.peer.name, 'laptop')
      assert.equal(answer.peer.id, id)
      const { peer: after } = await handlers.peersDisconnect({ peer }, { signal })
      assert.equal(after.state, 'disconnected')
    }
  })

  it('know whole ids of strangers, and nobody by a wrong name', async () => {
    const { handlers } = setUp()
    const { peerId, id } = fakeIdentity(9).self
    for (const peer of [peerId, id]) assert.equal((await handlers.peersShow({ peer }, { signal })).peer.peerId, peerId)
    await assert.rejects(handlers.peersShow({ peer: 'nobody' }, { signal }), (e) =>
      isNzError(e, 'NZ_CONTACTS_NOT_FOUND'),
    )
    await assert.rejects(handlers.peersShow({ peer: `${id}x` }, { signal }), (e) =>
      isNzError(e, 'NZ_CONTACTS_NOT_FOUND'),
    )
  })

  it('sum up pings as they go, also those without an answer', async () => {
    const { handlers, mesh, desk, laptop } = setUp()
    const params = { peer: 'laptop', count: 3, intervalMs: 0, timeoutMs: 100 }
    const seen = []
    for await (const summary of handlers.peersPing(params, { signal })) {
      seen.push(networkContract.peersPing.result.parse(summary))
      if (summary.sent === 2) mesh.cut(desk.peerId, laptop.peerId)
    }
    assert.deepEqual(
      seen.map(({ sent, received, lastMs }) => [sent, received, lastMs === null]),
      [
        [1, 1, false],
        [2, 2, false],
        [3, 2, true],
      ],
    )
  })

  it('tell the list again after each change', async () => {
    const { handlers, desk, laptop } = setUp()
    const watch = handlers.peersWatch({ all: false, limit: 10 }, { signal })[Symbol.asyncIterator]()
    assert.deepEqual((await watch.next()).value, { peers: [] })
    await desk.connect(laptop.peerId, { addresses: laptop.addresses(), signal })
    const { value } = await watch.next()
    assert.equal(networkContract.peersWatch.result.parse(value).peers[0]?.state, 'connected')
    await watch.return?.()
  })

  it('block by name, list and unblock', async () => {
    const { handlers, peerId } = setUp()
    assert.deepEqual(await handlers.peersBlock({ subject: 'laptop' }, { signal }), { blocked: [peerId] })
    await assert.rejects(handlers.peersConnect({ peer: 'laptop', ...connectTo }, { signal }), (e) =>
      isNzError(e, 'NZ_NETWORK_BLOCKED'),
    )
    assert.deepEqual(await handlers.peersUnblock({ subject: 'laptop' }, { signal }), { blocked: [] })
    assert.deepEqual(await handlers.peersBlock({ subject: '192.0.2.0/24' }, { signal }), { blocked: ['192.0.2.0/24'] })
  })

  it('declare only errors that exist', async () => {
    await import('../../modules/storage/service.ts')
    for (const { errors } of Object.values(networkContract))
      for (const code of errors) assert.ok(knownErrors.has(code), code)
  })
})

it('round trips: median and 99th percentile are values that were measured', () => {
  const roundTrips = new RoundTrips()
  for (let ms = 1; ms <= 200; ms += 1) roundTrips.add(ms)
  assert.deepEqual(roundTrips.summary(), { minMs: 1, medianMs: 100, p99Ms: 198, maxMs: 200 })
})
