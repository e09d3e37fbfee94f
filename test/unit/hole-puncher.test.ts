/** When direct connections to relayed peers are tried, and when no more; which connection of a peer is used meanwhile. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SimulatedClock } from '../../kernel/index.ts'
import { ByteBudget } from '../../modules/network/byte-budget.ts'
import { Paths } from '../../modules/network/paths.ts'
import { HolePuncher } from '../../modules/network/reach/hole-puncher.ts'
import { retire } from '../../modules/network/reach/retire.ts'
import { networkErrors } from '../../modules/network/service.ts'
import type { Connection } from '@libp2p/interface'
import type { OpenPath } from '../../modules/network/paths.ts'

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
const PEER = 'peer'
const DIRECT = '/ip4/45.0.0.7/tcp/4001'
const RELAYED = '/ip4/45.0.0.1/tcp/4001/p2p/12D3KooWRrrr/p2p-circuit'
const MINUTE_MS = 60_000

/** What the parts here touch of a connection of libp2p. */
class FakeConnection extends EventTarget {
  status = 'open'
  readonly direction = 'inbound'
  readonly remotePeer = { toString: () => PEER }
  readonly remoteAddr: { toString(): string }

  constructor(address: string) {
    super()
    this.remoteAddr = { toString: () => address }
  }

  async close(): Promise<void> {
    this.status = 'closed'
    await Promise.resolve()
  }
}

function pathsAt(clock: SimulatedClock): {
  paths: Paths
  open: (address: string) => OpenPath
  close: (path: OpenPath) => void
} {
  const paths = new Paths({
    clock,
    budget: new ByteBudget({ limitBytes: 1_000_000 }),
    onConnected: () => undefined,
    onClosed: () => undefined,
    onDisconnected: () => undefined,
  })
  return {
    paths,
    open: (address) => paths.add(new FakeConnection(address) as unknown as Connection),
    close: ({ connection }) => {
      Object.assign(connection, { status: 'closed' })
      paths.remove(connection)
    },
  }
}

/** A peer that has opened relayed connections here, of which no try makes a direct one. */
function scene({ error = networkErrors.NZ_NETWORK_STREAM_RESET() }: { error?: Error } = {}) {
  const clock = new SimulatedClock()
  const { paths, open, close } = pathsAt(clock)
  const stop = new AbortController()
  const tries: Array<{ readonly atMs: number; readonly path: OpenPath }> = []
  const puncher = new HolePuncher({
    clock,
    random: { bytes: (length) => new Uint8Array(length), unit: () => 1 },
    log: silent,
    handleStreams: () => undefined,
    openStreamOn: async (path) => {
      tries.push({ atMs: clock.monotonicMs(), path })
      return await Promise.reject(error)
    },
    dial: async () => await Promise.resolve(false),
    pathToUpgrade: (peerId) =>
      paths.hasDirect(peerId)
        ? null
        : (paths.of(peerId).find(({ connection }) => connection.status === 'open') ?? null),
    ownAddresses: () => [],
    bytesOf: () => [],
    textsOf: () => [],
  })
  puncher.start(stop.signal)
  const opened = (address: string): OpenPath => {
    const path = open(address)
    puncher.pathsChanged(PEER)
    return path
  }
  const closed = (path: OpenPath): void => {
    close(path)
    puncher.pathsChanged(PEER)
  }
  return { clock, puncher, opened, closed, tries, stop }
}

describe('direct tries to a relayed peer', () => {
  it('come twice in a row, then after five minutes, then later and later; the next one is told', async () => {
    const { clock, puncher, opened, tries } = scene()
    opened(RELAYED)
    await clock.advance(0)
    const told = puncher.upgrades()
    assert.deepEqual(told, [{ peerId: PEER, tries: 2, nextTryAtMs: clock.nowMs() + 5 * MINUTE_MS }])
    await clock.advance(2 * 60 * MINUTE_MS)
    assert.deepEqual(
      tries.map(({ atMs }) => atMs / MINUTE_MS),
      [0, 0, 5, 5, 15, 15, 35, 35, 65, 65, 95, 95],
    )
  })

  it('go on over another relayed connection when the first is gone', async () => {
    const { clock, puncher, opened, closed, tries } = scene()
    const first = opened(RELAYED)
    await clock.advance(MINUTE_MS)
    const second = opened(RELAYED)
    closed(first)
    await clock.advance(MINUTE_MS)
    assert.equal(puncher.upgrades()[0]?.nextTryAtMs, clock.nowMs() + 3 * MINUTE_MS)
    await clock.advance(3 * MINUTE_MS)
    assert.deepEqual(
      tries.map(({ path }) => path),
      [first, first, second, second],
    )
  })

  it('begin for a connection that came beside a direct one, once that is gone', async () => {
    const { clock, puncher, opened, closed, tries } = scene()
    const direct = opened(DIRECT)
    const relayed = opened(RELAYED)
    await clock.advance(MINUTE_MS)
    assert.deepEqual([tries.length, puncher.upgrades()], [0, []])
    closed(direct)
    await clock.advance(0)
    assert.deepEqual([tries.map(({ path }) => path), puncher.upgrades().length], [[relayed, relayed], 1])
  })

  it('end when a direct one is there, when no relayed one is, and at a peer that does not know how', async () => {
    const { clock, puncher, opened, closed } = scene()
    const relayed = opened(RELAYED)
    await clock.advance(0)
    const direct = opened(DIRECT)
    await clock.advance(0)
    assert.deepEqual([puncher.upgrades(), clock.pendingTimers], [[], 0])
    closed(direct)
    await clock.advance(0)
    closed(relayed)
    await clock.advance(0)
    assert.deepEqual([puncher.upgrades(), clock.pendingTimers], [[], 0])
    const other = scene({ error: networkErrors.NZ_NETWORK_PROTOCOL_UNKNOWN() })
    other.opened(RELAYED)
    await other.clock.advance(MINUTE_MS)
    assert.deepEqual([other.tries.length, other.puncher.upgrades()], [1, []])
  })

  it('end with the node', async () => {
    const { clock, puncher, opened, stop } = scene()
    opened(RELAYED)
    await clock.advance(0)
    stop.abort()
    await clock.advance(0)
    assert.deepEqual([puncher.upgrades(), clock.pendingTimers], [[], 0])
  })
})

describe('the connection that is used', () => {
  const miss = (path: OpenPath): void => void Object.assign(path, { missedPings: 1, heardAtMiss: path.rxBytes })

  it('is direct, and answers: a handshake that once worked is not enough', () => {
    const { paths, open } = pathsAt(new SimulatedClock())
    const relayed = open(RELAYED)
    const direct = open(DIRECT)
    const younger = open(DIRECT)
    assert.equal(paths.best(PEER), direct)
    miss(direct)
    assert.equal(paths.best(PEER), younger)
    miss(younger)
    assert.equal(paths.best(PEER), relayed)
    // What comes proves more than a ping that was missed before.
    younger.rxBytes += 1
    assert.equal(paths.best(PEER), younger)
    for (const each of [younger, relayed]) miss(each)
    assert.equal(paths.best(PEER), direct)
  })

  it('the others are told of each further one', () => {
    const { paths, open } = pathsAt(new SimulatedClock())
    const told: Array<readonly OpenPath[]> = []
    paths.whenBeside((older) => told.push(older))
    const [first, second] = [open(DIRECT), open(RELAYED)]
    open(RELAYED)
    assert.deepEqual(told, [[first], [first, second]])
  })
})

describe('a relayed connection beside a direct one', () => {
  it('is closed after a while, unless it has become the only one', async () => {
    for (const isSpare of [true, false]) {
      const clock = new SimulatedClock()
      const path = pathsAt(clock).open(RELAYED)
      const { signal } = new AbortController()
      const retired = retire(path, { clock, signal, movable: '/none', isSpare: () => isSpare })
      await clock.advance(MINUTE_MS)
      await retired
      assert.equal(path.connection.status, isSpare ? 'closed' : 'open')
    }
  })
})
