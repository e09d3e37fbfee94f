import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isNzError, systemClock } from '../../kernel/index.ts'
import { MAX_CLAIMS, MAX_OPEN_INVITES } from '../../modules/contacts/invite-list.ts'
import {
  FAILED_JOIN_WINDOW_MS,
  JoinAttempts,
  MAX_FAILED_JOINS,
  MAX_REMEMBERED_PEERS,
} from '../../modules/contacts/join-attempts.ts'
import { encodeJoinMessage, JOIN_PROTOCOL } from '../../protocols/invite/messages.ts'
import { shortFrame } from '../../protocols/framing/short-frames.ts'
import { openTicket } from '../../protocols/invite/ticket.ts'
import { MAX_PENDING_JOINS } from '../../modules/contacts/joins.ts'
import { contactsNode } from '../fake/contacts-node.ts'
import { fakeIdentity } from '../fake/identity.ts'
import { createFakeNetwork } from '../fake/network.ts'
import type { Clock } from '../../kernel/index.ts'
import type { Invite, InvitesService, Join } from '../../modules/contacts/service.ts'
import type { ContactsNode } from '../fake/contacts-node.ts'

const signal = AbortSignal.timeout(60_000)
const ask = { accepts: 'ask' as const, signal }
const automatically = { accepts: 'automatically' as const, signal }

/** The machine's timers, a wall clock that tests move. */
function movableClock(): Clock & { moveMs: number } {
  const clock = { ...systemClock, moveMs: 0, nowMs: () => systemClock.nowMs() + clock.moveMs }
  return clock
}

async function twoNodes(clock: Clock = systemClock) {
  const mesh = createFakeNetwork()
  const desk = await contactsNode(mesh, { seed: 1, name: 'desk', clock })
  const laptop = await contactsNode(mesh, { seed: 2, name: 'laptop', clock })
  const stop = () => Promise.all([desk.stop(), laptop.stop()])
  return { mesh, desk, laptop, [Symbol.asyncDispose]: stop, stop }
}

/** The invite's join once `isReached`. */
async function joinOf(
  invites: InvitesService,
  inviteId: string,
  isReached: (view: { invite: Invite; join: Join | null }) => boolean,
): Promise<{ invite: Invite; join: Join }> {
  for await (const view of invites.watch(inviteId, { signal })) {
    if (isReached(view) && view.join !== null) return { invite: view.invite, join: view.join }
  }
  throw new Error('the invite ended before')
}

async function joinEnd(invites: InvitesService, joinId: string): Promise<Join> {
  let last: Join | undefined
  for await (const join of invites.watchJoin(joinId, { signal })) last = join
  assert.ok(last)
  return last
}

const isComparing = ({ join }: { join: Join | null }) => join?.state === 'comparing'

async function create(node: ContactsNode, accepts: Invite['accepts'] = 'ask', expiresInMs = 600_000) {
  return await node.invites.create({ accepts, expiresInMs })
}

describe('invite and join', () => {
  it('makes contacts of both after both compared the same words', async () => {
    const nodes = await twoNodes()
    const { desk, laptop } = nodes
    const { invite, ticket } = await create(desk)
    const joining = await laptop.invites.join(ticket, ask)
    const { join } = await joinOf(desk.invites, invite.inviteId, isComparing)
    assert.equal(joining.state, 'comparing')
    assert.equal(joining.words.length, 4)
    assert.deepEqual(joining.words, join.words)
    assert.deepEqual([joining.name, join.name, joining.peerId], ['desk', 'laptop', desk.network.peerId])
    assert.deepEqual([...desk.contacts.list(), ...laptop.contacts.list()], [], 'nobody is stored before both accepted')

    await laptop.invites.decide(joining.joinId, true)
    assert.deepEqual(laptop.contacts.list(), [])
    await desk.invites.decide(join.joinId, true)
    assert.equal((await joinEnd(laptop.invites, joining.joinId)).state, 'joined')
    const end = await joinOf(desk.invites, invite.inviteId, (view) => view.invite.state === 'joined')
    assert.equal(end.join.contactName, 'laptop')
    assert.equal(desk.contacts.resolve('laptop').verifiedBy, 'words')
    assert.equal(laptop.contacts.resolve('desk').verifiedBy, 'words')
    assert.equal(laptop.contacts.resolve('desk').peerId, desk.network.peerId)
    assert.equal(laptop.network.peer(desk.network.peerId)?.isKept, true)
    assert.ok(desk.events.some(({ name }) => name === 'contacts.added'))
    await nodes.stop()
  })

  it('needs no person where both sides said so beforehand', async () => {
    const nodes = await twoNodes()
    const { invite, ticket } = await create(nodes.desk, 'automatically')
    const joining = await nodes.laptop.invites.join(ticket, { ...automatically, name: 'office' })
    assert.equal((await joinEnd(nodes.laptop.invites, joining.joinId)).contactName, 'office')
    await joinOf(nodes.desk.invites, invite.inviteId, (view) => view.invite.state === 'joined')
    assert.equal(nodes.desk.contacts.resolve('laptop').verifiedBy, 'invite')
    assert.equal(nodes.laptop.contacts.resolve('office').verifiedBy, 'invite')
    await nodes.stop()
  })

  it('stores nothing when either side declines, and the ticket stays used', async () => {
    for (const decliner of ['desk', 'laptop'] as const) {
      const nodes = await twoNodes()
      const { desk, laptop } = nodes
      const { invite, ticket } = await create(desk)
      const joining = await laptop.invites.join(ticket, ask)
      const { join } = await joinOf(desk.invites, invite.inviteId, isComparing)
      if (decliner === 'desk') {
        await laptop.invites.decide(joining.joinId, true)
        await desk.invites.decide(join.joinId, false)
      } else {
        await desk.invites.decide(join.joinId, true)
        await laptop.invites.decide(joining.joinId, false)
      }
      const codes =
        decliner === 'desk' ? ['NZ_JOIN_DECLINED', 'NZ_JOIN_CANCELLED'] : ['NZ_JOIN_CANCELLED', 'NZ_JOIN_DECLINED']
      assert.equal((await joinEnd(laptop.invites, joining.joinId)).code, codes[0])
      const { join: ended } = await joinOf(desk.invites, invite.inviteId, (view) => view.invite.state === 'declined')
      assert.equal(ended.code, codes[1])
      assert.deepEqual([...desk.contacts.list(), ...laptop.contacts.list()], [])
      await assert.rejects(laptop.invites.join(ticket, ask), { code: 'NZ_INVITE_USED' })
      await nodes.stop()
    }
  })

  it('lets exactly one of many concurrent joiners use a ticket', async () => {
    const mesh = createFakeNetwork()
    const desk = await contactsNode(mesh, { seed: 1, name: 'desk' })
    const others = await Promise.all(
      Array.from({ length: 8 }, (_, i) => contactsNode(mesh, { seed: 10 + i, name: `peer${i}` })),
    )
    const { ticket } = await create(desk, 'automatically')
    const results = await Promise.allSettled(others.map((other) => other.invites.join(ticket, automatically)))
    const codes = results.map((result) =>
      result.status === 'fulfilled' ? 'ok' : (result.reason as { code: string }).code,
    )
    assert.equal(codes.filter((code) => code === 'ok').length, 1)
    assert.equal(codes.filter((code) => code === 'NZ_INVITE_USED').length, 7)
    await Promise.all([desk, ...others].map((node) => node.stop()))
  })

  it('keeps a used ticket used over a restart between use and acceptance; only its peer may come again', async () => {
    const nodes = await twoNodes()
    const { mesh, desk, laptop } = nodes
    const { ticket } = await create(desk)
    const joining = await laptop.invites.join(ticket, ask)
    await desk.stop()
    assert.equal((await joinEnd(laptop.invites, joining.joinId)).code, 'NZ_JOIN_LOST')
    assert.deepEqual(laptop.contacts.list(), [])

    const again = await contactsNode(mesh, { seed: 1, name: 'desk', files: desk.files })
    const moved = openTicket(ticket, (...signed) => again.identity.verify(...signed))
    assert.equal(again.invites.list()[0]?.state, 'claimed')
    assert.deepEqual(again.contacts.list(), [])
    const thief = await contactsNode(mesh, { seed: 3, name: 'thief' })
    // The restarted node has a new port in the mesh: tell where it is, as a kept contact would know.
    for (const node of [thief, laptop]) {
      await node.network.connect(again.network.peerId, { addresses: again.network.addresses(), signal })
    }
    await assert.rejects(thief.invites.join(ticket, ask), { code: 'NZ_INVITE_USED' })
    const second = await laptop.invites.join(ticket, ask)
    assert.equal(second.state, 'comparing')
    assert.notDeepEqual(second.words, joining.words)
    assert.equal(moved.secret.length, 16)
    await Promise.all([again.stop(), laptop.stop(), thief.stop()])
  })

  it('refuses an expired ticket on either side with its code', async () => {
    const clock = movableClock()
    const nodes = await twoNodes(clock)
    const { invite, ticket } = await create(nodes.desk, 'ask', 60_000)
    clock.moveMs = 61_000
    await assert.rejects(nodes.laptop.invites.join(ticket, ask), { code: 'NZ_INVITE_EXPIRED' }, 'the inviter decides')
    clock.moveMs = 200_000
    await assert.rejects(nodes.laptop.invites.join(ticket, ask), { code: 'NZ_INVITE_EXPIRED' }, 'the joiner sees it')
    assert.equal(nodes.desk.invites.list()[0]?.state, 'expired')
    clock.moveMs = -86_400_000
    assert.equal(nodes.desk.invites.list()[0]?.inviteId, invite.inviteId)
    await nodes.stop()
  })

  it('is not prolonged by a clock that jumps back', async () => {
    let monotonicMs = 0
    let wallMs = 1_000_000_000
    const clock: Clock = { ...systemClock, nowMs: () => wallMs, monotonicMs: () => monotonicMs }
    const nodes = await twoNodes(clock)
    await create(nodes.desk, 'ask', 60_000)
    monotonicMs += 61_000
    wallMs -= 86_400_000
    assert.equal(nodes.desk.invites.list()[0]?.state, 'expired')
    await nodes.stop()
  })

  it('refuses a revoked ticket, and ends the join that uses it', async () => {
    const nodes = await twoNodes()
    const { desk, laptop } = nodes
    const first = await create(desk)
    await desk.invites.revoke(first.invite.inviteId)
    await assert.rejects(laptop.invites.join(first.ticket, ask), { code: 'NZ_INVITE_REVOKED' })
    const second = await create(desk)
    const joining = await laptop.invites.join(second.ticket, ask)
    await desk.invites.revoke(second.invite.inviteId)
    assert.equal((await joinEnd(laptop.invites, joining.joinId)).code, 'NZ_INVITE_REVOKED')
    await assert.rejects(desk.invites.revoke('inv_000000000000'), { code: 'NZ_INVITE_UNKNOWN' })
    await nodes.stop()
  })

  it('refuses its own ticket, a foreign one and text that is none', async () => {
    const nodes = await twoNodes()
    const { ticket } = await create(nodes.desk)
    await assert.rejects(nodes.desk.invites.join(ticket, ask), { code: 'NZ_INVITE_SELF' })
    await assert.rejects(nodes.laptop.invites.join('hello', ask), { code: 'NZ_INVITE_MALFORMED', exit: 'usage' })
    await nodes.desk.stop()
    const forgetful = await contactsNode(nodes.mesh, { seed: 1, name: 'desk' })
    await nodes.laptop.network.connect(forgetful.network.peerId, { addresses: forgetful.network.addresses(), signal })
    await assert.rejects(nodes.laptop.invites.join(ticket, ask), { code: 'NZ_INVITE_UNKNOWN' })
    await Promise.all([forgetful.stop(), nodes.laptop.stop()])
  })

  it('stops a peer that keeps guessing, and one that keeps restarting its claim', async () => {
    const nodes = await twoNodes()
    const { desk, laptop } = nodes
    const { ticket } = await create(desk)
    for (let i = 0; i < MAX_CLAIMS; i++) {
      const joining = await laptop.invites.join(ticket, ask)
      nodes.mesh.cut(desk.network.peerId, laptop.network.peerId)
      assert.equal((await joinEnd(laptop.invites, joining.joinId)).code, 'NZ_JOIN_LOST')
      nodes.mesh.heal(desk.network.peerId, laptop.network.peerId)
      while (desk.invites.joins().some(({ state }) => state === 'comparing')) await new Promise(setImmediate)
    }
    for (let i = 0; i < MAX_FAILED_JOINS + 1; i++) {
      await assert.rejects(laptop.invites.join(ticket, ask), { code: 'NZ_INVITE_ATTEMPTS' })
    }
    const good = await create(desk)
    await assert.rejects(laptop.invites.join(good.ticket, ask), { code: 'NZ_INVITE_ATTEMPTS' })
    await nodes.stop()
  })

  it('holds the number of open invites at its bound', async () => {
    const nodes = await twoNodes()
    for (let i = 0; i < MAX_OPEN_INVITES; i++) await create(nodes.desk)
    await assert.rejects(create(nodes.desk), { code: 'NZ_INVITE_TOO_MANY' })
    const [newest] = nodes.desk.invites.list()
    await nodes.desk.invites.revoke(newest?.inviteId ?? '')
    await create(nodes.desk)
    await assert.rejects(create(nodes.desk, 'ask', 1), { code: 'NZ_CONTACTS_INVITE_EXPIRY', exit: 'usage' })
    await nodes.stop()
  })

  it('answers rubbish and messages out of turn with an end, not an exception', async () => {
    const nodes = await twoNodes()
    const { desk, laptop } = nodes
    await laptop.network.connect(desk.network.peerId, { addresses: desk.network.addresses(), signal })
    const refusal = encodeJoinMessage({ type: 'refuse', code: 'NZ_JOIN_PROTOCOL' })
    const firsts = [
      new Uint8Array([0xff, 0xff]),
      new Uint8Array([0, 1, 0xff]),
      shortFrame(encodeJoinMessage({ type: 'accept' })),
      shortFrame(encodeJoinMessage({ type: 'reveal', nonce: new Uint8Array(16) })),
      shortFrame(encodeJoinMessage({ type: 'refuse', code: 'NZ_INVITE_EXPIRED' })),
    ]
    for (const bytes of firsts) {
      const stream = await laptop.network.openStream(desk.network.peerId, JOIN_PROTOCOL, { signal })
      await stream.write(bytes)
      await stream.closeWrite()
      const answer: number[] = []
      for (let chunk = await stream.read(); chunk !== null; chunk = await stream.read()) answer.push(...chunk)
      const isRefusal = bytes === firsts.at(-1)
      assert.deepEqual(Uint8Array.from(answer), isRefusal ? new Uint8Array() : shortFrame(refusal))
      // What strangers try is not kept and told: it would push everything else out of the history.
      while (desk.invites.joins().length > 0) await new Promise(setImmediate)
    }
    assert.deepEqual(
      desk.events.filter(({ name }) => name === 'contacts.joinFailed'),
      [],
    )
    assert.deepEqual(desk.contacts.list(), [])
    await nodes.stop()
  })

  it('lets nobody in the way who opens joins and says nothing', async () => {
    const nodes = await twoNodes()
    const { desk, laptop, mesh } = nodes
    for (let i = 0; i < 3 * MAX_PENDING_JOINS; i++) {
      const silent = mesh.add(fakeIdentity(100 + i).self.peerId)
      await silent.connect(desk.network.peerId, { addresses: desk.network.addresses(), signal })
      await silent.openStream(desk.network.peerId, JOIN_PROTOCOL, { signal })
    }
    const pending = () => desk.invites.joins().filter(({ state }) => state === 'connecting').length
    while (pending() > MAX_PENDING_JOINS) await new Promise(setImmediate)
    const { invite, ticket } = await create(desk, 'automatically')
    await laptop.invites.join(ticket, automatically)
    await joinOf(desk.invites, invite.inviteId, (view) => view.invite.state === 'joined')
    assert.ok(pending() <= MAX_PENDING_JOINS)
    await nodes.stop()
  })

  it('learns where a contact that moved can be reached now', async () => {
    const nodes = await twoNodes()
    const { desk, laptop, mesh } = nodes
    const { ticket } = await create(desk, 'automatically')
    await laptop.invites.join(ticket, automatically)
    while (desk.contacts.list().length === 0) await new Promise(setImmediate)
    const before = laptop.contacts.resolve('desk').addresses
    await desk.stop()
    // The restarted node has a new port; the laptop does not know it, but is where it was.
    const moved = await contactsNode(mesh, { seed: 1, name: 'desk', files: desk.files })
    while (laptop.contacts.resolve('desk').addresses.join() === before.join()) await new Promise(setImmediate)
    assert.deepEqual(laptop.contacts.resolve('desk').addresses, moved.network.addresses())
    const stored = await laptop.storage.namespace('contacts').get(moved.network.peerId)
    assert.ok(Buffer.from(stored ?? []).includes(moved.network.addresses()[0] ?? '?'))
    const stranger = mesh.add('12D3KooWstranger')
    await stranger.connect(moved.network.peerId, { addresses: moved.network.addresses(), signal })
    await assert.rejects(stranger.request(moved.network.peerId, 'contacts.addresses', new Uint8Array(), { signal }), {
      code: 'NZ_CONTACTS_NOT_FOUND',
    })
    await Promise.all([moved.stop(), laptop.stop()])
  })

  it('removes a contact on request: forgotten over a restart and no longer kept', async () => {
    const nodes = await twoNodes()
    const { desk, laptop } = nodes
    const { invite, ticket } = await create(desk, 'automatically')
    await laptop.invites.join(ticket, automatically)
    await joinOf(desk.invites, invite.inviteId, (view) => view.invite.state === 'joined')
    await desk.contacts.remove('laptop', { signal })
    assert.deepEqual(desk.contacts.list(), [])
    assert.equal(desk.network.peer(laptop.network.peerId)?.isKept, false)
    await nodes.stop()
  })

  it('says which decisions it cannot take', async () => {
    const nodes = await twoNodes()
    await assert.rejects(nodes.desk.invites.decide('join_0', true), { code: 'NZ_JOIN_UNKNOWN', exit: 'notFound' })
    await assert.rejects(
      async () => {
        for await (const _view of nodes.desk.invites.watch('inv_0', { signal })) continue
      },
      (error) => isNzError(error, 'NZ_INVITE_UNKNOWN'),
    )
    await nodes.stop()
  })
})

describe('JoinAttempts', () => {
  it('blocks after the limit, forgets after the window, and remembers a bounded number of peers', () => {
    let nowMs = 0
    const attempts = new JoinAttempts({ monotonicMs: () => nowMs })
    for (let i = 0; i < MAX_FAILED_JOINS; i++) {
      assert.equal(attempts.isBlocked('a'), false)
      attempts.failed('a')
    }
    assert.equal(attempts.isBlocked('a'), true)
    nowMs += FAILED_JOIN_WINDOW_MS
    assert.equal(attempts.isBlocked('a'), false)
    for (let i = 0; i < MAX_FAILED_JOINS; i++) attempts.failed('b')
    for (let i = 0; i < MAX_REMEMBERED_PEERS; i++) attempts.failed(`peer${i}`)
    assert.equal(attempts.isBlocked('b'), false)
  })
})
