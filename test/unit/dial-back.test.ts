/** AutoNAT v2: the bytes of libp2p's own encoder, what is asked of whom, what is done for others, and what counts. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import fc from 'fast-check'
import { systemClock, systemRandom } from '../../kernel/index.ts'
import { DialBack, DIALS_PER_PEER, MAX_HELPERS } from '../../modules/network/reach/dial-back.ts'
import { filteringOf } from '../../modules/network/reach/verdict.ts'
import {
  decodeAutonat,
  decodeDialBack,
  DIAL_BACK_PROTOCOL,
  DIAL_REQUEST_PROTOCOL,
  encodeAutonat,
  encodeDialBack,
  encodeDialBackResponse,
  MAX_ADDRESSES,
} from '../../protocols/autonat/messages.ts'
import { delimited } from '../../protocols/circuit/fields.ts'
import { createFakeNetwork } from '../fake/network.ts'
import type { OpenPath } from '../../modules/network/paths.ts'
import type { NetworkService } from '../../modules/network/service.ts'
import type { AutonatMessage } from '../../protocols/autonat/messages.ts'

const vectors = JSON.parse(readFileSync(new URL('../../spec/vectors/autonat.json', import.meta.url), 'utf8'))
const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'))
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex')
const address = bytes(vectors.address)
const nonce = BigInt(`0x${vectors.nonce}`)

describe('messages of AutoNAT v2', () => {
  const messages: ReadonlyArray<readonly [string, AutonatMessage]> = [
    ['request', { type: 'request', addresses: [address, address], nonce }],
    ['ok', { type: 'response', status: 200, addressAt: 1, dialStatus: 200 }],
    ['dialError', { type: 'response', status: 200, addressAt: 0, dialStatus: 100 }],
    ['refused', { type: 'response', status: 101, addressAt: 0, dialStatus: 0 }],
    ['dataRequest', { type: 'dataRequest', addressAt: 1, byteLength: 50_000n }],
  ]
  for (const [name, message] of messages)
    it(`${name}: as libp2p writes it, and back`, () => {
      assert.equal(hex(encodeAutonat(message)), vectors[name])
      assert.deepEqual(decodeAutonat(bytes(vectors[name])), message)
    })
  it('the number said on the new connection', () => {
    assert.equal(hex(encodeDialBack(nonce)), vectors.dialBack)
    assert.equal(decodeDialBack(bytes(vectors.dialBack)), nonce)
    assert.equal(hex(encodeDialBackResponse()), vectors.dialBackResponse)
    assert.equal(decodeDialBack(bytes('0801')), null)
  })
  it('keeps MAX_ADDRESSES of a request, none of them long', () => {
    const many = Array.from({ length: MAX_ADDRESSES + 3 }, () => address)
    const read = decodeAutonat(encodeAutonat({ type: 'request', addresses: [new Uint8Array(257), ...many], nonce }))
    assert.ok(read?.type === 'request')
    assert.deepEqual(read.addresses, many.slice(0, MAX_ADDRESSES))
  })
  it('reads or refuses any bytes, and what it reads it writes so that it is read the same', () => {
    const bent = fc
      .tuple(fc.constantFrom(...messages.map(([name]) => bytes(vectors[name]))), fc.nat(40), fc.nat(255))
      .map(([honest, at, value]) => honest.map((byte, i) => (i === at % honest.length ? value : byte)))
    fc.assert(
      fc.property(fc.oneof(bent, fc.uint8Array({ maxLength: 60 })), (any) => {
        decodeDialBack(any)
        const read = decodeAutonat(any)
        if (read !== null) assert.deepEqual(decodeAutonat(encodeAutonat(read)), read)
      }),
      { numRuns: process.env['NZ_FULL'] === '1' ? 300_000 : 3_000 },
    )
  })
})

const NODE = '45.0.0.7'
const textsOf = (binary: readonly Uint8Array[]): string[] => binary.map((each) => multiaddr(each).toString())
const bytesOf = (texts: readonly string[]): Uint8Array[] => texts.map((text) => multiaddr(text).bytes)
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

/** A node at NODE, and as many peers as asked for that dial back when asked; `liars` are peers whose handlers a test writes. */
async function scene({ helpers = 2, liars = 0, opens = true, candidates = [`/ip4/${NODE}/tcp/4001`] } = {}) {
  const mesh = createFakeNetwork()
  const stop = new AbortController()
  const dialled: string[] = []
  const made = (network: NetworkService, hostOfPeer: (peerId: string) => string | null, told: readonly string[]) => {
    const dialBack = new DialBack({
      clock: systemClock,
      random: systemRandom,
      log: silent,
      openStream: async (...args) => await network.openStream(...args),
      handleStreams: (...args) => network.handleStreams(...args),
      dial: async (_peerId, to) => {
        dialled.push(to)
        return await Promise.resolve(opens ? ({} as OpenPath) : null)
      },
      openStreamOn: async (_path, protocol, signal) => await network.openStream('node', protocol, { signal }),
      retire: () => undefined,
      hostOfPeer,
      candidates: () => told,
      bytesOf,
      textsOf,
    })
    dialBack.start(stop.signal)
    return dialBack
  }
  const network = mesh.add('node')
  const node = made(network, (peerId) => `46.0.0.${peerId.replace(/\D+/, '')}`, candidates)
  const names = Array.from({ length: helpers }, (_each, at) => `helper${at + 1}`)
  const peers = [...names, ...Array.from({ length: liars }, (_each, at) => `liar${at + 1}`)].map((name) =>
    mesh.add(name),
  )
  for (const peer of peers) {
    if (names.includes(peer.peerId)) made(peer, () => NODE, [])
    await network.connect(peer.peerId, { addresses: peer.addresses(), signal: stop.signal })
  }
  const settled = async (isDone: () => boolean): Promise<void> => {
    const endMs = performance.now() + 30_000
    while (!isDone()) {
      if (performance.now() > endMs) throw new Error(JSON.stringify(node.report()))
      await new Promise(setImmediate)
    }
  }
  return { node, network, peers, names, dialled, settled, stop, [Symbol.dispose]: () => stop.abort() }
}

describe('asking peers to dial this node', () => {
  it('an address at which one comes in is reached', async () => {
    using all = await scene()
    all.node.met('helper1')
    await all.settled(() => all.node.report().helpers > 0)
    assert.deepEqual(all.node.report(), { reached: [`/ip4/${NODE}/tcp/4001`], unreached: [], helpers: 1 })
    assert.deepEqual(all.dialled, [`/ip4/${NODE}/tcp/4001`])
  })
  it('one that two could not dial is not; one peer alone proves nothing', async () => {
    using all = await scene({ opens: false })
    all.node.met('helper1')
    await all.settled(() => all.node.report().helpers === 1)
    assert.deepEqual(all.node.report().unreached, [])
    all.node.met('helper2')
    await all.settled(() => all.node.report().helpers === 2)
    assert.deepEqual(all.node.report(), { reached: [], unreached: [`/ip4/${NODE}/tcp/4001`], helpers: 2 })
  })
  it('a peer that claims to have come in, and has not, is not believed', async () => {
    using all = await scene({ helpers: 0, liars: 1 })
    let asked = 0
    all.peers[0]?.handleStreams(
      DIAL_REQUEST_PROTOCOL,
      async (stream) => {
        await stream.read()
        const claim = encodeAutonat({ type: 'response', status: 200, addressAt: 0, dialStatus: 200 })
        await stream.write(delimited(claim))
        await stream.close()
        asked += 1
      },
      { signal: all.stop.signal },
    )
    all.node.met('liar1')
    await all.settled(() => asked === 1)
    for (let turn = 0; turn < 50; turn += 1) await new Promise(setImmediate)
    assert.equal(all.node.report().helpers, 0)
  })
  it('private addresses, names and relays are not told', async () => {
    const candidates = [
      '/ip4/192.168.1.2/tcp/1',
      '/dns4/a.example/tcp/1',
      '/ip4/45.0.0.7/tcp/1/ws',
      `/ip4/${NODE}/tcp/9`,
    ]
    using all = await scene({ candidates })
    all.node.met('helper1')
    await all.settled(() => all.node.report().helpers > 0)
    assert.deepEqual(all.node.report().reached, [`/ip4/${NODE}/tcp/9`])
  })
  it('remembers MAX_HELPERS peers', async () => {
    using all = await scene({ helpers: MAX_HELPERS + 2 })
    for (const name of all.names) all.node.met(name)
    await all.settled(() => all.node.report().helpers === MAX_HELPERS)
    assert.equal(all.node.report().helpers, MAX_HELPERS)
  })
})

describe('dialling those who ask', () => {
  const asking = async (
    all: Awaited<ReturnType<typeof scene>>,
    addresses: readonly string[],
  ): Promise<{ status: number; dialStatus: number } | null> => {
    const signal = AbortSignal.timeout(30_000)
    const stream = await all.network.openStream('helper1', DIAL_REQUEST_PROTOCOL, { signal })
    await stream.write(delimited(encodeAutonat({ type: 'request', addresses: bytesOf(addresses), nonce: 5n })))
    const answer = await stream.read({ signal })
    await stream.close()
    const read = answer === null ? null : decodeAutonat(answer.subarray(1))
    return read?.type === 'response' ? { status: read.status, dialStatus: read.dialStatus } : null
  }
  it('only where they are connected from, and nowhere private', async () => {
    using all = await scene({ helpers: 1 })
    const elsewhere = ['/ip4/45.0.0.8/tcp/4001', '/ip4/127.0.0.1/tcp/4001', '/dns4/a.example/tcp/1']
    assert.deepEqual(await asking(all, elsewhere), { status: 101, dialStatus: 0 })
    assert.deepEqual(all.dialled, [])
    // The number is none that the node has told: the dial came through, and nobody there wanted it.
    assert.deepEqual(await asking(all, [...elsewhere, `/ip4/${NODE}/tcp/1`]), { status: 200, dialStatus: 101 })
    assert.deepEqual(all.dialled, [`/ip4/${NODE}/tcp/1`])
  })
  it('not more often than DIALS_PER_PEER', async () => {
    using all = await scene({ helpers: 1, opens: false })
    for (let at = 0; at < DIALS_PER_PEER.burst; at += 1)
      assert.deepEqual(await asking(all, [`/ip4/${NODE}/tcp/1`]), { status: 200, dialStatus: 100 })
    assert.deepEqual(await asking(all, [`/ip4/${NODE}/tcp/1`]), { status: 100, dialStatus: 0 })
    assert.equal(all.dialled.length, DIALS_PER_PEER.burst)
  })
  it('a number that was told to nobody is not taken', async () => {
    using all = await scene({ helpers: 1 })
    const signal = AbortSignal.timeout(30_000)
    const stream = await all.network.openStream('helper1', DIAL_BACK_PROTOCOL, { signal })
    await stream.write(delimited(encodeDialBack(7n)))
    await assert.rejects(async () => await stream.read({ signal }))
  })
})

describe('whom a NAT lets in', () => {
  const facts = { cameIn: false, isReached: false, isShut: false }
  for (const [given, filtering] of [
    [{}, 'unknown'],
    [{ cameIn: true, isShut: true }, 'endpoint-independent'],
    [{ isReached: true }, 'address-dependent-at-most'],
    [{ isShut: true }, 'address-and-port-dependent'],
  ] as const)
    it(`${JSON.stringify(given)}: ${filtering}`, () => assert.equal(filteringOf({ ...facts, ...given }), filtering))
})
