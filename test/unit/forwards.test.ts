import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { trustingAll } from '../fake/trust.ts'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { runCli } from '../fake/cli.ts'
import { Dispatcher } from '../../modules/ipc/dispatch.ts'
import { forwardsHandlers } from '../../modules/ipc/handlers/forwards.ts'
import { createLocalClient } from '../../modules/ipc/local-client.ts'
import { forwardsContract } from '../../protocols/ipc/contract/forwards.ts'
import { LifetimeScope, seededRandom, systemClock, systemRandom } from '../../kernel/index.ts'
import forwardsModule from '../../modules/forwards/index.ts'
import { MAX_FORWARDS } from '../../modules/forwards/forward-list.ts'
import { MAX_CONNECTIONS_PER_FORWARD } from '../../modules/forwards/tally.ts'
import {
  decodeAnswer,
  decodeHeader,
  encodeAnswer,
  encodeHeader,
  FORWARD_PROTOCOL,
} from '../../protocols/forward/header.ts'
import { forwardsEvents } from '../../modules/forwards/service.ts'
import type { ForwardsService } from '../../modules/forwards/service.ts'
import { contactsNode } from '../fake/contacts-node.ts'
import { createFakeNetwork } from '../fake/network.ts'
import { converse, echoServer, tcpServer } from '../fake/tcp.ts'
import type { StoredRecord } from '../../modules/storage/service.ts'
import type { ContactsNode } from '../fake/contacts-node.ts'

const signal = AbortSignal.timeout(120_000)
const host = '127.0.0.1'

async function startForwards(
  node: ContactsNode,
): Promise<{ forwards: ForwardsService; refused: string[] } & AsyncDisposable> {
  const scope = new LifetimeScope()
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const context = {
    name: 'forwards',
    log,
    events: node.bus,
    clock: systemClock,
    random: systemRandom,
    scope,
    fail: () => undefined,
    finish: () => undefined,
  }
  const { network, contacts, storage } = node
  const instance = await forwardsModule.setup(context, { storage, network, contacts, trust: trustingAll }, {})
  await instance.start?.({ signal })
  const refused: string[] = []
  context.events.on(forwardsEvents.refused, ({ peerId }) => void refused.push(peerId), { signal: scope.signal })
  return { forwards: instance.services.forwards, refused, [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose]() }
}

/** Two contacts with the forwards module each. */
async function twoNodes() {
  const mesh = createFakeNetwork()
  const desk = await contactsNode(mesh, { seed: 1, name: 'desk' })
  const laptop = await contactsNode(mesh, { seed: 2, name: 'laptop' })
  const { ticket } = await desk.invites.create({ accepts: 'automatically', expiresInMs: 60_000 })
  const join = await laptop.invites.join(ticket, { accepts: 'automatically', signal })
  for await (const _change of laptop.invites.watchJoin(join.joinId, { signal })) continue
  while (desk.contacts.list().length === 0) await new Promise(setImmediate)
  const [atDesk, atLaptop] = [await startForwards(desk), await startForwards(laptop)]
  return {
    mesh,
    desk,
    laptop,
    offers: atDesk.forwards,
    refused: atDesk.refused,
    uses: atLaptop.forwards,
    peerId: desk.network.peerId,
    atDesk,
    atLaptop,
    async [Symbol.asyncDispose]() {
      await Promise.all([atDesk[Symbol.asyncDispose](), atLaptop[Symbol.asyncDispose]()])
      await Promise.all([desk.stop(), laptop.stop()])
    },
  }
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) {
    signal.throwIfAborted()
    await new Promise(setImmediate)
  }
}

/** `once` would reject for an error before the close. */
async function closed(socket: Socket): Promise<void> {
  if (!socket.destroyed) await new Promise<void>((resolve) => socket.once('close', () => resolve()))
}

describe('forwards', () => {
  it('carry bytes both ways and half-close', async () => {
    await using nodes = await twoNodes()
    await using echo = await echoServer()
    await nodes.offers.expose({ service: 'web', host, port: echo.port, allow: null })
    const { port } = await nodes.uses.forward({ peerId: nodes.peerId, service: 'web', host, port: 0 })
    const bytes = seededRandom(1).bytes(3 * 1024 * 1024)
    const { received, errorCode } = await converse(port, bytes)
    assert.equal(errorCode, null)
    assert.equal(Buffer.compare(received, bytes), 0)
    await until(() => nodes.uses.list()[0]?.connections === 0)
    const [used] = nodes.uses.list()
    assert.deepEqual([used?.txBytes, used?.rxBytes, used?.totalConnections], [bytes.length, bytes.length, 1])
    await until(() => nodes.offers.list()[0]?.connections === 0)
  })

  it('let the other side speak on after this one ended', async () => {
    await using nodes = await twoNodes()
    await using late = await tcpServer((socket) => {
      socket.resume()
      socket.on('end', () => socket.end('all read'))
    })
    await nodes.offers.expose({ service: 'late', host, port: late.port, allow: null })
    const { port } = await nodes.uses.forward({ peerId: nodes.peerId, service: 'late', host, port: 0 })
    assert.equal((await converse(port, new Uint8Array(1_000))).received.toString(), 'all read')
  })

  it('do not read on when the other end does not', async () => {
    await using nodes = await twoNodes()
    await using deaf = await tcpServer((socket) => socket.pause())
    await nodes.offers.expose({ service: 'deaf', host, port: deaf.port, allow: null })
    const { port } = await nodes.uses.forward({ peerId: nodes.peerId, service: 'deaf', host, port: 0 })
    const socket = connect({ host, port })
    socket.on('error', () => undefined)
    const chunk = Buffer.alloc(1024 * 1024)
    let sent = 0
    while (sent < 256 && socket.write(chunk)) sent += 1
    let before = -1
    // The kernel's buffers and the stream's window fill up, then nothing moves any more.
    while (before !== (nodes.uses.list()[0]?.txBytes ?? 0)) {
      before = nodes.uses.list()[0]?.txBytes ?? 0
      await new Promise((resolve) => setTimeout(resolve, 100))
      while (sent < 64 && socket.writableLength < chunk.length) {
        socket.write(chunk)
        sent += 1
      }
    }
    assert.ok(before < 32 * 1024 * 1024, `${before} bytes were taken for a reader that reads nothing`)
    await nodes.uses.stop('deaf')
    await closed(socket)
    await until(() => nodes.offers.list()[0]?.connections === 0)
  })

  it('map a reset in both directions', async () => {
    await using nodes = await twoNodes()
    const accepted: Socket[] = []
    await using server = await tcpServer((socket) => {
      accepted.push(socket)
      socket.write('x')
    })
    await nodes.offers.expose({ service: 'cut', host, port: server.port, allow: null })
    const { port } = await nodes.uses.forward({ peerId: nodes.peerId, service: 'cut', host, port: 0 })
    const near = connect({ host, port })
    await once(near, 'data')
    accepted[0]?.resetAndDestroy()
    const [error] = (await once(near, 'error')) as [NodeJS.ErrnoException]
    assert.equal(error.code, 'ECONNRESET')

    const again = connect({ host, port })
    await once(again, 'data')
    const far = accepted[1]
    assert.ok(far)
    again.resetAndDestroy()
    await closed(far)
    await until(() => nodes.offers.list()[0]?.connections === 0)
  })

  it('end when the peer is gone, and work again when it is back', async () => {
    await using nodes = await twoNodes()
    await using echo = await echoServer()
    await nodes.offers.expose({ service: 'web', host, port: echo.port, allow: null })
    const { port } = await nodes.uses.forward({ peerId: nodes.peerId, service: 'web', host, port: 0 })
    const socket = connect({ host, port })
    socket.write('x')
    await once(socket, 'data')
    nodes.mesh.cut(nodes.peerId, nodes.laptop.network.peerId)
    await once(socket, 'error')
    assert.equal((await converse(port, Buffer.from('y'))).received.length, 0)
    await until(() => nodes.uses.list()[0]?.lastCode !== null)
    assert.match(nodes.uses.list()[0]?.lastCode ?? '', /^NZ_NETWORK_/)
    nodes.mesh.heal(nodes.peerId, nodes.laptop.network.peerId)
    assert.equal((await converse(port, Buffer.from('y'))).received.toString(), 'y')
    assert.equal(nodes.uses.list()[0]?.lastCode, null)
  })

  it('allow a contact that was removed nothing when it is introduced again, also over a crash', async () => {
    await using nodes = await twoNodes()
    const { peerId } = nodes.laptop.network
    const stored = (): readonly unknown[] =>
      nodes.offers.list().map((forward) => forward.kind === 'exposed' && forward.allow)
    await nodes.offers.expose({ service: 'private', host, port: 9, allow: [peerId, '12D3KooWsomeoneElse'] })
    await nodes.offers.expose({ service: 'web', host, port: 9, allow: null })
    const namespace = nodes.desk.storage.namespace('forwards')
    const beforeRemoval: StoredRecord[] = []
    for await (const record of namespace.range()) beforeRemoval.push(record)
    assert.equal(beforeRemoval.length, 2)
    await nodes.desk.contacts.remove(peerId, { signal })
    await until(() => JSON.stringify(stored()) === '[["12D3KooWsomeoneElse"],null]')
    await nodes.atDesk[Symbol.asyncDispose]()
    await namespace.batch(beforeRemoval.map((record) => ({ type: 'put' as const, ...record })))
    await using again = await startForwards(nodes.desk)
    assert.deepEqual(
      again.forwards.list().map((forward) => forward.kind === 'exposed' && forward.allow),
      [[], null],
    )
  })

  it('refuse what is not offered, not allowed or not reachable, each with its code', async () => {
    await using nodes = await twoNodes()
    const { port: closedPort } = await tcpServer(() => undefined).then(async (server) => {
      await server[Symbol.asyncDispose]()
      return server
    })
    await nodes.offers.expose({ service: 'private', host, port: 9, allow: ['12D3KooWsomeoneElse'] })
    await nodes.offers.expose({ service: 'broken', host, port: closedPort, allow: [nodes.laptop.network.peerId] })
    const cases = [
      ['absent', 'NZ_FORWARD_SERVICE_UNKNOWN'],
      ['private', 'NZ_FORWARD_REFUSED'],
      ['broken', 'NZ_FORWARD_TARGET'],
    ] as const
    for (const [service, code] of cases) {
      const { port, forwardId } = await nodes.uses.forward({ peerId: nodes.peerId, service, host, port: 0 })
      assert.equal((await converse(port, Buffer.from('x'))).received.length, 0)
      await until(() => nodes.uses.list().find((forward) => forward.forwardId === forwardId)?.lastCode === code)
    }
    assert.deepEqual(nodes.refused, Array(2).fill(nodes.laptop.network.peerId))
  })

  it('refuse a stranger whatever it asks for, and rubbish', async () => {
    await using nodes = await twoNodes()
    await using echo = await echoServer()
    await nodes.offers.expose({ service: 'web', host, port: echo.port, allow: null })
    const stranger = nodes.mesh.add('12D3KooWstranger')
    await stranger.connect(nodes.peerId, { addresses: nodes.desk.network.addresses(), signal })
    for (const service of ['web', 'absent']) {
      const stream = await stranger.openStream(nodes.peerId, FORWARD_PROTOCOL, { signal })
      const header = encodeHeader(service)
      await stream.write(Uint8Array.from([0, header.length, ...header]))
      const answer = await stream.read()
      assert.deepEqual(decodeAnswer(answer?.subarray(2) ?? new Uint8Array()), {
        type: 'refused',
        code: 'NZ_FORWARD_REFUSED',
      })
    }
    const stream = await stranger.openStream(nodes.peerId, FORWARD_PROTOCOL, { signal })
    await stream.write(new Uint8Array(100).fill(0xff))
    await assert.rejects(stream.read(), { code: 'NZ_NETWORK_STREAM_RESET' })
    assert.deepEqual(nodes.refused, [], 'strangers fill no event history')
  })

  it('hold the connections of one forward at their bound', async () => {
    await using nodes = await twoNodes()
    await using echo = await echoServer()
    await nodes.offers.expose({ service: 'web', host, port: echo.port, allow: null })
    const { port } = await nodes.uses.forward({ peerId: nodes.peerId, service: 'web', host, port: 0 })
    const sockets: Socket[] = []
    for (let i = 0; i < MAX_CONNECTIONS_PER_FORWARD; i++) {
      const socket = connect({ host, port })
      socket.on('error', () => undefined)
      sockets.push(socket)
      socket.write('x')
      await once(socket, 'data')
    }
    assert.equal((await converse(port, Buffer.from('x'))).received.length, 0)
    assert.equal(nodes.uses.list()[0]?.lastCode, 'NZ_FORWARD_BUSY')
    for (const socket of sockets) socket.destroy()
    await until(() => nodes.uses.list()[0]?.connections === 0)
    assert.equal((await converse(port, Buffer.from('x'))).received.toString(), 'x')
  })

  it('stay over a restart with the same port; a port taken meanwhile fails that forward alone', async () => {
    await using nodes = await twoNodes()
    await using echo = await echoServer()
    await nodes.offers.expose({ service: 'web', host, port: echo.port, allow: null })
    const first = await nodes.uses.forward({ peerId: nodes.peerId, service: 'web', host, port: 0 })
    const second = await nodes.uses.forward({ peerId: nodes.peerId, service: 'web', host, port: 0 })
    await assert.rejects(nodes.uses.forward({ peerId: nodes.peerId, service: 'web', host, port: first.port }), {
      code: 'NZ_FORWARD_PORT_TAKEN',
      exit: 'conflict',
    })
    await nodes.atLaptop[Symbol.asyncDispose]()
    const squatter = await import('node:net').then(({ createServer }) => createServer().listen(second.port, host))
    await once(squatter, 'listening')
    const mesh = createFakeNetwork()
    const lone = await contactsNode(mesh, { seed: 2, name: 'laptop', files: nodes.laptop.files })
    const again = await startForwards(lone)
    const found = again.forwards.list()
    const states = [first, second].map(({ forwardId }) => found.find((forward) => forward.forwardId === forwardId))
    assert.deepEqual(
      states.map((one) => [one?.kind === 'local' && one.state, one?.lastCode]),
      [
        ['listening', null],
        ['failed', 'NZ_FORWARD_PORT_TAKEN'],
      ],
    )
    await again[Symbol.asyncDispose]()
    await lone.stop()
    squatter.close()
  })

  it('stop on request: nothing listens, what was open is cut', async () => {
    await using nodes = await twoNodes()
    await using echo = await echoServer()
    const offer = await nodes.offers.expose({ service: 'web', host, port: echo.port, allow: null })
    const { port, forwardId } = await nodes.uses.forward({ peerId: nodes.peerId, service: 'web', host, port: 0 })
    const socket = connect({ host, port })
    socket.write('x')
    await once(socket, 'data')
    await nodes.offers.stop(offer.forwardId)
    await once(socket, 'error')
    await nodes.uses.stop('web')
    assert.equal((await converse(port, Buffer.from('x'))).errorCode, 'ECONNREFUSED')
    await assert.rejects(nodes.uses.stop(forwardId), { code: 'NZ_FORWARD_NOT_FOUND', exit: 'notFound' })
  })

  it('are checked before they are kept, and bounded in number', async () => {
    await using nodes = await twoNodes()
    const { peerId } = nodes
    await nodes.offers.expose({ service: 'web', host, port: 80, allow: null })
    const wrong = [
      nodes.offers.expose({ service: 'Web', host, port: 80, allow: null }),
      nodes.offers.expose({ service: 'a', host, port: 0, allow: null }),
      nodes.offers.expose({ service: 'a', host: '', port: 80, allow: null }),
      nodes.uses.forward({ peerId, service: '../x', host, port: 0 }),
      nodes.uses.forward({ peerId, service: 'web', host: 'localhost', port: 0 }),
    ]
    for (const result of await Promise.allSettled(wrong)) {
      assert.equal(result.status === 'rejected' && (result.reason as { code: string }).code, 'NZ_FORWARD_INVALID')
    }
    await assert.rejects(nodes.offers.expose({ service: 'web', host, port: 81, allow: null }), {
      code: 'NZ_FORWARD_EXISTS',
    })
    await assert.rejects(nodes.uses.forward({ peerId: 'nobody', service: 'web', host, port: 0 }), {
      code: 'NZ_CONTACTS_NOT_FOUND',
    })
    for (let i = 1; i < MAX_FORWARDS; i++) {
      await nodes.offers.expose({ service: `s${i}`, host, port: 80, allow: null })
    }
    await assert.rejects(nodes.offers.expose({ service: 'late', host, port: 80, allow: null }), {
      code: 'NZ_FORWARD_TOO_MANY',
    })
  })

  it('refuse a damaged list and leave it alone', async () => {
    const mesh = createFakeNetwork()
    const node = await contactsNode(mesh, { seed: 1, name: 'desk' })
    node.files.set('forwards.json', new TextEncoder().encode('{"version":1,"forwards":[{}]}'))
    await assert.rejects(startForwards(node), { code: 'NZ_FORWARD_DAMAGED', exit: 'damaged' })
    await node.stop()
  })
})

describe('nzcore forward', () => {
  it('sets up, lists and ends both ends of a forward', async () => {
    await using nodes = await twoNodes()
    await using echo = await echoServer()
    const clientOf = (contacts: ContactsNode['contacts'], forwards: ForwardsService) =>
      createLocalClient(
        forwardsContract,
        new Dispatcher({
          contract: forwardsContract,
          handlers: forwardsHandlers({ contacts, forwards }),
          clock: systemClock,
          log: { debug() {}, info() {}, warn() {}, error() {} },
        }),
        { signal },
      )
    const desk = clientOf(nodes.desk.contacts, nodes.offers)
    const laptop = clientOf(nodes.laptop.contacts, nodes.uses)
    const exposed = await runCli(['forward', 'expose', 'web', '--to', `${echo.port}`, '--allow', 'laptop'], {
      client: desk,
    })
    assert.match(exposed.stdout, /^✔ web at 127\.0\.0\.1:\d+ is offered to laptop\n/, exposed.stderr)
    const started = await runCli(['forward', 'desk', 'web', '--json'], { client: laptop })
    const { forward } = JSON.parse(started.stdout) as { forward: { address: string; peer: string } }
    assert.equal(forward.peer, 'desk')
    const port = Number(forward.address.split(':')[1])
    assert.equal((await converse(port, Buffer.from('x'))).received.toString(), 'x')
    const listed = await runCli(['forward', 'list'], { client: laptop })
    assert.match(listed.stdout, /FORWARD +SERVICE[^\n]*\nfwd_\w+ +web +127\.0\.0\.1:\d+ +desk +listening/)
    assert.match((await runCli(['forward', 'stop', 'web'], { client: laptop })).stdout, /✔ ended web/)
    assert.match((await runCli(['forward', 'list'], { client: laptop })).stdout, /no forwards/)
    assert.equal((await runCli(['forward', 'expose', 'x', '--to', 'a:b'], { client: desk })).code, 2)
    assert.equal((await runCli(['forward', 'nobody', 'web'], { client: laptop })).code, 5)
  })
})

describe('forward header', () => {
  it('round-trips, and everything else is refused', () => {
    assert.equal(decodeHeader(encodeHeader('web')), 'web')
    for (const name of ['', 'A', '-a', 'a b', 'x'.repeat(33), '\u202E']) {
      assert.equal(decodeHeader(encodeHeader(name)), null, name)
    }
    assert.equal(decodeHeader(new Uint8Array(100)), null)
    const answers = [
      'NZ_FORWARD_SERVICE_UNKNOWN',
      'NZ_FORWARD_REFUSED',
      'NZ_FORWARD_BUSY',
      'NZ_FORWARD_TARGET',
    ] as const
    for (const code of answers) {
      assert.deepEqual(decodeAnswer(encodeAnswer({ type: 'refused', code })), { type: 'refused', code })
    }
    assert.deepEqual(decodeAnswer(encodeAnswer({ type: 'connected' })), { type: 'connected' })
    const unknown = { type: 'refused', code: 'NZ_FORWARD_PROTOCOL' }
    for (const bytes of [new Uint8Array(), Uint8Array.of(0x80), Uint8Array.of(0x81, 0x18, 0xff), Uint8Array.of(0)]) {
      assert.deepEqual(decodeAnswer(bytes), unknown)
    }
  })
})
