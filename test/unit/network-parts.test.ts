import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { isNzError, seededRandom } from '../../kernel/index.ts'
import {
  canonicalIp,
  hostOf,
  mostReachableFirst,
  networkOf,
  peerIdOf,
  plainIp,
  transportOf,
  withPeerId,
} from '../../modules/network/address.ts'
import { AttemptLedger, MAX_ATTEMPTS_PER_PEER, MAX_PEERS_WITH_ATTEMPTS } from '../../modules/network/attempt-ledger.ts'
import { BackOff } from '../../modules/network/back-off.ts'
import { BlockList, MAX_BLOCKED } from '../../modules/network/block-list.ts'
import { ByteBudget } from '../../modules/network/byte-budget.ts'
import { clusterKeyOf, readClusterSecret } from '../../modules/network/cluster-secret.ts'
import { asksRelay, codeOf, stageOf } from '../../modules/network/dial-outcome.ts'
import { choosePorts, DEFAULT_PORTS, listenEverywhere } from '../../modules/network/listen.ts'
import { MAX_ADDRESSES_PER_PEER, MAX_KNOWN_PEERS, PeerBook } from '../../modules/network/peer-book.ts'
import { memoryHome } from '../fake/home.ts'
import { damage, diskOf, openStore } from '../fake/storage.ts'
import type { Storage } from '../../modules/storage/storage.ts'
import { fakeIdentity } from '../fake/identity.ts'
import type { DialAttempt } from '../../modules/network/service.ts'

const { peerId } = fakeIdentity(1).self
const isCode =
  (code: string) =>
  (error: unknown): boolean =>
    isNzError(error, code)

describe('addresses', () => {
  it('tell transport, host and peer', () => {
    assert.equal(transportOf('/ip4/192.0.2.1/tcp/1'), 'tcp')
    assert.equal(transportOf('/dns4/example.org/tcp/1/tls/ws'), 'websocket')
    assert.equal(transportOf('/dns4/example.org/tcp/1/wss/p2p/x'), 'websocket')
    assert.equal(transportOf(`/ip4/192.0.2.1/tcp/1/p2p/${peerId}/p2p-circuit`), 'relay')
    assert.equal(hostOf('/dns4/example.org/tcp/1'), 'example.org')
    assert.equal(hostOf('/memory/1'), null)
    assert.equal(peerIdOf(`/ip4/192.0.2.1/tcp/1/p2p/${peerId}`), peerId)
    assert.equal(withPeerId('/ip4/192.0.2.1/tcp/1/', peerId), `/ip4/192.0.2.1/tcp/1/p2p/${peerId}`)
  })

  it('have one spelling and one network', () => {
    assert.equal(plainIp('::ffff:192.0.2.1'), '192.0.2.1')
    assert.equal(canonicalIp('2001:DB8::0:1'), canonicalIp('2001:db8:0:0:0:0:0:1'))
    assert.equal(networkOf('192.0.2.77'), '192.0.2.0/24')
    assert.equal(networkOf('2001:db8:0:7::1'), networkOf('2001:db8:0:7:ffff::'))
    assert.notEqual(networkOf('2001:db8:0:7::1'), networkOf('2001:db8:0:8::1'))
  })

  it('come most reachable first', () => {
    const [loopback, lan, web, wide] = ['127.0.0.1', '192.168.1.2', '45.0.0.4', '45.0.0.4'].map(
      (ip, at) => `/ip4/${ip}/tcp/1${at === 2 ? '/ws' : ''}`,
    )
    assert.ok(loopback !== undefined && lan !== undefined && web !== undefined && wide !== undefined)
    assert.deepEqual(mostReachableFirst([loopback, lan, web, wide]), [wide, web, lan, loopback])
  })
})

describe('the attempt ledger', () => {
  const attempt = (atMs: number): DialAttempt => ({
    atMs,
    address: '/ip4/192.0.2.1/tcp/1',
    transport: 'tcp',
    stage: 'connect',
    durationMs: 1,
    code: 'NZ_NETWORK_REFUSED',
    isPunch: false,
  })

  it('keeps the newest attempts of a peer and the peers tried last', () => {
    const ledger = new AttemptLedger()
    for (let at = 0; at < MAX_ATTEMPTS_PER_PEER + 5; at += 1) ledger.record('a', attempt(at))
    assert.equal(ledger.of('a').length, MAX_ATTEMPTS_PER_PEER)
    assert.equal(ledger.of('a')[0]?.atMs, 5)
    for (let at = 0; at < MAX_PEERS_WITH_ATTEMPTS; at += 1) ledger.record(`p${at}`, attempt(at))
    assert.deepEqual(ledger.of('a'), [])
    assert.equal(ledger.of('p0').length, 1)
  })
})

describe('the peer book', () => {
  it('puts proven addresses before claims, and is bounded', () => {
    const book = new PeerBook()
    book.learnClaims('a', { addresses: ['c1', 'c2'], agent: 'x'.repeat(500) })
    book.learn('a', ['p1', 'c2'])
    book.learnClaims('a', { addresses: ['c3'], agent: null })
    assert.deepEqual(book.addresses('a'), ['p1', 'c2', 'c1', 'c3'])
    book.learn(
      'a',
      Array.from({ length: 40 }, (_, at) => `n${at}`),
    )
    assert.equal(book.addresses('a').length, MAX_ADDRESSES_PER_PEER)
    for (let at = 0; at < MAX_KNOWN_PEERS; at += 1) book.measured(`p${at}`, at)
    assert.equal(book.peerIds().length, MAX_KNOWN_PEERS)
    assert.deepEqual(book.addresses('a'), [])
  })

  it('forgets no kept peer for strangers', () => {
    const book = new PeerBook({ isKept: (peerId) => peerId === 'contact' })
    book.learn('contact', ['here'])
    for (let at = 0; at < 2 * MAX_KNOWN_PEERS; at += 1) book.measured(`p${at}`, at)
    assert.deepEqual(book.addresses('contact'), ['here'])
    assert.equal(book.peerIds().length, MAX_KNOWN_PEERS)
    book.learn('newest', ['there'])
    assert.deepEqual(book.addresses('newest'), ['there'])
  })
})

describe('back-off', () => {
  it('doubles up to its bound, with jitter, and starts over after a success', () => {
    const units = [0, 0.999_999, 0.5]
    const fixed = units.map((unit) => new BackOff({ firstDelayMs: 1_000, maxDelayMs: 60_000, unit: () => unit }))
    assert.deepEqual(
      fixed.map((each) => Math.round(each.failed())),
      [500, 1_000, 750],
    )
    const random = seededRandom(1)
    const backOff = new BackOff({ firstDelayMs: 1_000, maxDelayMs: 60_000, unit: () => random.unit() })
    for (let failures = 0; failures < 100; failures += 1) {
      const delayMs = backOff.failed()
      const whole = Math.min(60_000, 1_000 * 2 ** Math.min(failures, 30))
      assert.ok(delayMs >= whole / 2 && delayMs <= whole)
    }
    backOff.succeeded()
    assert.ok(backOff.failed() <= 1_000)
  })
})

describe('what became of a dial', () => {
  const code = (error: unknown, over: Partial<Parameters<typeof codeOf>[0]> = {}): string =>
    codeOf({ error, stage: 'connect', isOverTime: false, hasClusterSecret: false, isBeforeRelay: false, ...over })
  const system = (name: string): Error => Object.assign(new Error(name), { code: name })

  it('is told by the code of the operating system, however deep', () => {
    assert.equal(code(system('ECONNREFUSED')), 'NZ_NETWORK_REFUSED')
    assert.equal(code(new AggregateError([system('ECONNREFUSED')])), 'NZ_NETWORK_REFUSED')
    assert.equal(code(new Error('x', { cause: system('EHOSTUNREACH') })), 'NZ_NETWORK_HOST_UNREACHABLE')
    assert.equal(code(new Error('connect ENETUNREACH 192.0.2.1:1')), 'NZ_NETWORK_NO_ROUTE')
    assert.equal(code(system('ENOTFOUND')), 'NZ_NETWORK_NAME_UNKNOWN')
    assert.equal(code(system('ETIMEDOUT')), 'NZ_NETWORK_TIMEOUT')
  })

  it('else by how far it came', () => {
    assert.equal(code(new Error('?')), 'NZ_NETWORK_CONNECT_FAILED')
    assert.equal(code(new Error('?'), { isOverTime: true }), 'NZ_NETWORK_TIMEOUT')
    assert.equal(code(new Error('?'), { stage: 'secure' }), 'NZ_NETWORK_HANDSHAKE_FAILED')
    assert.equal(code(new Error('?'), { stage: 'secure', hasClusterSecret: true }), 'NZ_NETWORK_PNET_MISMATCH')
    const wrong = Object.assign(new Error('?'), { name: 'UnexpectedPeerError' })
    assert.equal(code(wrong, { stage: 'secure' }), 'NZ_NETWORK_WRONG_PEER')
    assert.equal(stageOf('tcp:open-connection'), 'connect')
    assert.equal(stageOf('anything else'), null)
  })
})

describe('what became of a dial through a relay', () => {
  const code = (text: string, isBeforeRelay = false): string =>
    codeOf({
      error: new Error(text),
      stage: 'connect',
      isOverTime: false,
      hasClusterSecret: false,
      isBeforeRelay,
    })

  it('is told by what the relay answers, or that it cannot be asked', () => {
    const status = (name: string): string => `failed to connect via relay with status ${name}`
    assert.equal(code('connect ECONNREFUSED 192.0.2.1:1', true), 'NZ_NETWORK_RELAY_UNREACHABLE')
    assert.equal(code(status('RESOURCE_LIMIT_EXCEEDED')), 'NZ_NETWORK_RELAY_FULL')
    assert.equal(code(status('NO_RESERVATION')), 'NZ_NETWORK_RELAY_NO_PLACE')
    assert.equal(code(status('CONNECTION_FAILED')), 'NZ_NETWORK_RELAY_REFUSED')
    assert.deepEqual(
      ['read-connect-response', 'open-hop-stream'].map((type) => asksRelay(`circuit-relay:${type}`)),
      [true, false],
    )
  })
})

async function storeOf(files: Map<string, Uint8Array>): Promise<Storage> {
  return await openStore({ disk: diskOf(files), home: memoryHome(files) })
}

async function blockList(files = new Map<string, Uint8Array>()): Promise<BlockList> {
  const list = new BlockList(await storeOf(files))
  await list.load()
  return list
}

describe('the block list', () => {
  it('knows peers, addresses and networks, and lasts', async () => {
    const files = new Map<string, Uint8Array>()
    const list = await blockList(files)
    for (const subject of [peerId, '192.0.2.1', '198.51.100.0/24', '2001:db8::/32']) await list.add(subject)
    const again = await blockList(files)
    assert.equal(again.hasPeer(peerId), true)
    for (const ip of ['192.0.2.1', '::ffff:192.0.2.1', '198.51.100.7', '2001:db8:5::1']) assert.ok(again.hasIp(ip), ip)
    for (const ip of ['192.0.2.2', '198.51.101.1', '2001:db9::1', 'example.org']) assert.ok(!again.hasIp(ip), ip)
    await again.remove('198.51.100.0/24')
    assert.equal(again.hasIp('198.51.100.7'), false)
    await assert.rejects(again.remove('198.51.100.0/24'), isCode('NZ_NETWORK_NOT_BLOCKED'))
  })

  it('refuses what names nobody', async () => {
    const list = await blockList()
    for (const subject of ['', 'desk', '192.0.2.1/33', '192.0.2.0/24/1', '192.0.2', '2001:db8::/129', '1/2'])
      await assert.rejects(list.add(subject), isCode('NZ_NETWORK_ADDRESS_INVALID'), subject)
  })

  it('says when its file is damaged, and leaves it', async () => {
    for (const text of ['', '{', '{"version":2,"blocked":[]}', '{"version":1,"blocked":["desk"]}']) {
      const files = new Map([['network-blocklist.json', new TextEncoder().encode(text)]])
      await assert.rejects(blockList(files), isCode('NZ_NETWORK_BLOCKLIST_DAMAGED'))
      assert.equal(new TextDecoder().decode(files.get('network-blocklist.json')), text)
    }
  })

  it('lets nobody in and dials nobody while it cannot be read', async () => {
    const files = new Map<string, Uint8Array>()
    await (await blockList(files)).add('192.0.2.1')
    damage(diskOf(files))
    const list = await blockList(files)
    assert.deepEqual([list.hasPeer(peerId), list.hasIp('198.51.100.1')], [true, true])
    assert.throws(() => list.requireReadable(), isCode('NZ_STORAGE_DAMAGED'))
    assert.equal(list.health().state, 'degraded')
  })

  it('blocks at once, also when the disk is full', async () => {
    const files = new Map<string, Uint8Array>()
    const list = await blockList(files)
    diskOf(files).engine.isFull = true
    await assert.rejects(list.add('192.0.2.1'), isCode('NZ_STORAGE_READ_ONLY'))
    assert.equal(list.hasIp('192.0.2.1'), true)
  })

  it('is bounded', async () => {
    const blocked = Array.from({ length: MAX_BLOCKED }, (_, at) => `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`)
    const bytes = new TextEncoder().encode(JSON.stringify({ version: 1, blocked }))
    const files = new Map([['network-blocklist.json', bytes]])
    const list = await blockList(files)
    assert.equal(files.size, 1, 'the note of the store, and no list')
    await assert.rejects(list.add('192.0.2.1'), isCode('NZ_NETWORK_LIMITED'))
  })
})

describe('ports', () => {
  it('are the usual ones when they are free', async () => {
    const storage = await storeOf(new Map())
    assert.deepEqual(await choosePorts(storage, { freePort: async (wanted) => wanted }), DEFAULT_PORTS)
    assert.equal(storage.namespace('network/ports').usage.records, 0)
  })

  it('that are taken are replaced, and the replacement is remembered', async () => {
    const files = new Map([['network-ports.json', new TextEncoder().encode('{"tcp":5001,"ws":5002}')]])
    const older = await choosePorts(await storeOf(files), { freePort: async (wanted) => wanted })
    assert.deepEqual(older, { tcp: 5_001, ws: 5_002 })
    const first = await choosePorts(await storeOf(files), { freePort: async (wanted) => wanted + 1_000 })
    assert.deepEqual(first, { tcp: 6_001, ws: 6_002 })
    assert.deepEqual(await choosePorts(await storeOf(files), { freePort: async (wanted) => wanted }), first)
  })

  it('are two different ones', async () => {
    const ports = await choosePorts(await storeOf(new Map([['network-ports.json', new TextEncoder().encode('?')]])))
    assert.notEqual(ports.tcp, ports.ws)
    assert.equal(listenEverywhere(ports).length, 4)
  })
})

describe('the cluster secret', () => {
  it('gives every node the same key, and is not short', async () => {
    const [a, b, c] = await Promise.all(
      ['correct horse battery', 'correct horse battery', 'correct horse batterz'].map(async (secret) =>
        clusterKeyOf(Buffer.from(secret)),
      ),
    )
    assert.deepEqual(a, b)
    assert.notDeepEqual(a, c)
    assert.equal(a?.byteLength, 32)
    await assert.rejects(clusterKeyOf(Buffer.from('fifteen letters')), isCode('NZ_NETWORK_CLUSTER_SECRET'))
  })

  it('is read from a file that only its owner may read', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'nz-secret-'))
    t.after(async () => await rm(folder, { recursive: true }))
    const file = join(folder, 'secret')
    await writeFile(file, 'correct horse battery\nsecond line\n', { mode: 0o600 })
    assert.equal((await readClusterSecret(file)).toString(), 'correct horse battery')
    await chmod(file, 0o640)
    await assert.rejects(readClusterSecret(file), isCode('NZ_NETWORK_CLUSTER_SECRET'))
    await assert.rejects(readClusterSecret(join(folder, 'none')), isCode('NZ_NETWORK_CLUSTER_SECRET'))
  })
})

describe('the byte budget', () => {
  const signal = AbortSignal.timeout(120_000)

  it('lets one peer hold a quarter, and all together no more than all', async () => {
    const budget = new ByteBudget({ limitBytes: 100 })
    const accounts = Array.from({ length: 6 }, () => budget.account())
    for (const account of accounts.slice(0, 4)) {
      assert.equal(account.tryAcquire(25), true)
      assert.equal(account.tryAcquire(1), false)
    }
    assert.equal(budget.usedBytes, 100)
    assert.equal(accounts[4]?.tryAcquire(1), false)
  })

  it('makes writers wait at the bound, in line, and throws nothing away', async () => {
    const budget = new ByteBudget({ limitBytes: 100 })
    const account = budget.account()
    account.charge(25)
    const order: number[] = []
    const waiting = [10, 10].map(async (bytes, at) => {
      await account.acquire(bytes, { signal })
      order.push(at)
    })
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(order, [])
    account.release(10)
    await waiting[0]
    assert.deepEqual(order, [0])
    account.release(15)
    await waiting[1]
    assert.equal(account.usedBytes, 20)
  })

  it('passes over a peer that is full for one that is not, and forgets who gave up', async () => {
    const budget = new ByteBudget({ limitBytes: 100 })
    const [full, other, third] = [budget.account(), budget.account(), budget.account()]
    full.charge(25)
    third.charge(70)
    const giveUp = new AbortController()
    const [stuck, lucky] = [full.acquire(5, { signal: giveUp.signal }), other.acquire(10, { signal })]
    third.release(10)
    await lucky
    giveUp.abort(new Error('enough'))
    await assert.rejects(stuck, /enough/)
    full.release(25)
    assert.equal(budget.usedBytes, 70)
  })
})
