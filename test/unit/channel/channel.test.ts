/** NZ-CHANNEL-01: packets over bad paths, replays, epochs, healing, exhaustion. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { seededRandom } from '../../../kernel/index.ts'
import { Channel } from '../../../protocols/channel/channel.ts'
import { channelLimits, EPOCH_OVERLAP_MS, MAX_PAYLOAD_BYTES } from '../../../protocols/channel/limits.ts'
import { ReplayWindow } from '../../../protocols/channel/replay-window.ts'
import { REPLAY_WINDOW_PACKETS, RESERVED_PACKETS } from '../../../protocols/channel/limits.ts'
import { OVERHEAD_BYTES } from '../../../protocols/channel/packet.ts'
import { channels, EVE, handshake, opened, sealed, settle } from '../../fake/channel.ts'
import type { Ends } from '../../fake/channel.ts'

const few = { ...channelLimits, rekeyPackets: 8 }

describe('a channel', () => {
  it('carries payloads both ways, each once', () => {
    const { ann, bob } = channels()
    assert.deepEqual([ann.isConfirmed, bob.isConfirmed], [true, true])
    const packet = sealed(ann, 'there')
    assert.equal(packet.length, 5 + OVERHEAD_BYTES)
    assert.equal(opened(bob, packet), 'there')
    assert.equal(opened(bob, packet), 'NZ_CHANNEL_REPLAYED')
    assert.equal(opened(ann, sealed(bob, 'and back')), 'and back')
    assert.equal(opened(ann, packet), 'NZ_CHANNEL_UNKNOWN', 'not sent back to its sender')
  })

  it('carries payloads from none up to the largest', () => {
    const { ann, bob } = channels()
    assert.equal(opened(bob, sealed(ann, '')), '')
    const largest = new Uint8Array(MAX_PAYLOAD_BYTES).fill(65)
    assert.equal(opened(bob, sealed(ann, largest)).length, MAX_PAYLOAD_BYTES)
    assert.deepEqual(ann.seal(new Uint8Array(MAX_PAYLOAD_BYTES + 1), 0), { refused: 'NZ_CHANNEL_TOO_LARGE' })
  })

  it('takes no packet with a changed bit, and the true one after it', () => {
    const { ann, bob } = channels()
    const packet = sealed(ann, 'true')
    for (let bit = 0; bit < packet.length * 8; bit += 1) {
      const changed = Uint8Array.from(packet)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      assert.ok('refused' in bob.open(changed, 0), `bit ${bit}`)
    }
    assert.equal(opened(bob, packet), 'true')
  })

  it('refuses what lies further back than its window', () => {
    const { ann, bob } = channels()
    const old = [sealed(ann, 'a'), sealed(ann, 'b')]
    for (let count = 0; count < REPLAY_WINDOW_PACKETS - 2; count += 1) sealed(ann, '')
    const newest = [sealed(ann, 'c'), sealed(ann, 'd')]
    assert.equal(opened(bob, newest[0] ?? assert.fail()), 'c')
    assert.equal(opened(bob, old[1] ?? assert.fail()), 'b', 'the oldest that counts')
    assert.equal(opened(bob, newest[1] ?? assert.fail()), 'd')
    assert.equal(opened(bob, old[0] ?? assert.fail()), 'NZ_CHANNEL_TOO_OLD')
  })

  it('ends on both sides when one closes it', () => {
    const { ann, bob } = channels()
    const [bye = assert.fail()] = ann.close()
    assert.equal(opened(bob, bye), 'close')
    assert.deepEqual([ann.state, bob.state, ann.dueAtMs, bob.dueAtMs], ['closed', 'closedByPeer', null, null])
    assert.deepEqual(bob.seal(new Uint8Array(1), 0), { refused: 'NZ_CHANNEL_CLOSED' })
    assert.deepEqual([ann.close(), bob.close()], [[], []])
  })
})

describe('a replay window', () => {
  it('knows at its edges what was received', () => {
    const window = new ReplayWindow()
    assert.equal(window.test(0), 'new')
    window.take(0)
    assert.equal(window.test(0), 'replayed')
    window.take(REPLAY_WINDOW_PACKETS - 1)
    assert.equal(window.test(0), 'replayed')
    window.take(REPLAY_WINDOW_PACKETS)
    assert.deepEqual([window.test(0), window.test(1)], ['tooOld', 'new'])
    window.take(10 * REPLAY_WINDOW_PACKETS + 7)
    assert.equal(window.test(9 * REPLAY_WINDOW_PACKETS + 7), 'tooOld')
    for (const counter of [9 * REPLAY_WINDOW_PACKETS + 8, 10 * REPLAY_WINDOW_PACKETS + 6]) {
      assert.equal(window.test(counter), 'new')
      window.take(counter)
      assert.equal(window.test(counter), 'replayed')
    }
  })

  it('agrees with a set of all that was received', () => {
    const random = seededRandom(5)
    for (let round = 0; round < 5; round += 1) {
      const window = new ReplayWindow()
      const taken = new Set<number>()
      let newest = -1
      for (let step = 0; step < 600; step += 1) {
        const jump = random.unit() < 0.02 ? 5_000 : 60
        const counter = Math.max(0, newest + Math.floor((random.unit() - 0.7) * jump * 3))
        const isOld = counter <= newest - REPLAY_WINDOW_PACKETS
        assert.equal(window.test(counter), isOld ? 'tooOld' : taken.has(counter) ? 'replayed' : 'new')
        if (isOld || taken.has(counter)) continue
        window.take(counter)
        taken.add(counter)
        newest = Math.max(newest, counter)
      }
    }
  })
})

describe('an epoch', () => {
  it('ends by packets, bytes and time, on both sides in step', () => {
    const byPackets = channels({ limits: few })
    for (let count = 0; count < 8; count += 1) byPackets.bob.open(sealed(byPackets.ann, 'x'), 0)
    settle(byPackets, 0)
    assert.deepEqual([byPackets.ann.epoch, byPackets.bob.epoch], [1, 1])
    const byBytes = channels({ limits: { ...channelLimits, rekeyBytes: 100 } })
    byBytes.ann.open(sealed(byBytes.bob, 'y'.repeat(120)), 0)
    settle(byBytes, 0)
    assert.deepEqual([byBytes.ann.epoch, byBytes.bob.epoch], [1, 1], 'the responder may begin, too')
    const byTime = channels()
    assert.equal(byTime.ann.dueAtMs, channelLimits.rekeyMs)
    settle(byTime, channelLimits.rekeyMs)
    assert.deepEqual([byTime.ann.epoch, byTime.bob.epoch], [1, 1])
  })

  it('opens what was under way for a bounded time, and nothing after it', () => {
    const ends = channels({ limits: few })
    const late = [sealed(ends.ann, 'one'), sealed(ends.ann, 'two')]
    for (let count = 0; count < 8; count += 1) ends.bob.open(sealed(ends.ann, 'x'), 0)
    settle(ends, 0)
    assert.equal(ends.bob.epoch, 1)
    assert.equal(opened(ends.bob, late[0] ?? assert.fail(), EPOCH_OVERLAP_MS - 1), 'one')
    assert.equal(opened(ends.bob, late[0] ?? assert.fail(), EPOCH_OVERLAP_MS - 1), 'NZ_CHANNEL_REPLAYED')
    assert.equal(opened(ends.bob, late[1] ?? assert.fail(), EPOCH_OVERLAP_MS), 'NZ_CHANNEL_EPOCH')
  })

  it('begins once when both sides propose at the same time', () => {
    const ends = channels({ limits: few })
    for (let count = 0; count < 8; count += 1) {
      sealed(ends.ann, 'x')
      sealed(ends.bob, 'x')
    }
    const [toBob, toAnn] = [ends.ann.due(0), ends.bob.due(0)]
    assert.deepEqual([toBob.length, toAnn.length], [1, 1])
    for (const packet of toAnn) ends.ann.open(packet, 0)
    for (const packet of toBob) ends.bob.open(packet, 0)
    settle(ends, 0)
    assert.deepEqual([ends.ann.epoch, ends.bob.epoch], [1, 1])
    assert.equal(opened(ends.bob, sealed(ends.ann, 'after')), 'after')
  })

  it('is agreed over a path that loses, repeats and reorders half of everything; no payload comes twice', () => {
    for (let seed = 1; seed <= 2; seed += 1) {
      const random = seededRandom(seed)
      const ends = channels({ limits: { ...channelLimits, rekeyPackets: 30 } })
      const underWay: { readonly to: 'ann' | 'bob'; readonly packet: Uint8Array }[] = []
      const came = new Set<string>()
      for (let nowMs = 0; nowMs < 20_000; nowMs += 50) {
        for (const from of ['ann', 'bob'] as const) {
          const to = from === 'ann' ? 'bob' : 'ann'
          const packets = [...ends[from].due(nowMs), sealed(ends[from], `${from} ${nowMs}`, nowMs)]
          for (const packet of packets) {
            if (random.unit() < 0.3) continue
            underWay.push({ to, packet })
            if (random.unit() < 0.2) underWay.push({ to, packet })
          }
        }
        while (underWay.length > 6) {
          const [{ to, packet } = assert.fail()] = underWay.splice(Math.floor(random.unit() * underWay.length), 1)
          const result = ends[to].open(packet, nowMs)
          if (!('payload' in result)) continue
          const text = Buffer.from(result.payload).toString()
          assert.ok(!came.has(text), `seed ${seed}: ${text} came twice`)
          came.add(text)
        }
      }
      assert.ok(
        ends.ann.epoch > 1 && Math.abs(ends.ann.epoch - ends.bob.epoch) <= 1,
        `seed ${seed}: ${ends.ann.epoch}, ${ends.bob.epoch}`,
      )
      assert.ok(came.size > 400, `seed ${seed}: ${came.size} came`)
    }
  })

  it('that ends without a new one seals nothing more, and opens nothing after its last time', () => {
    const last = { ...channelLimits, rekeyPackets: 2, lastPackets: 4, lastMs: 1_000 }
    const { ann, bob } = channels({ limits: last })
    const packets: Uint8Array[] = []
    for (;;) {
      const result = ann.seal(Buffer.from('x'), 0)
      if ('refused' in result) {
        assert.equal(result.refused, 'NZ_CHANNEL_EXHAUSTED')
        break
      }
      packets.push(result.packet)
    }
    assert.ok(packets.length <= 4)
    assert.ok(ann.due(0).length > 0, 'new keys can still be asked for')
    for (let nowMs = 0; nowMs < 1_000; nowMs += 10) ann.due(nowMs)
    assert.deepEqual(bob.open(packets[0] ?? assert.fail(), 1_000), { refused: 'NZ_CHANNEL_EXPIRED' })
    assert.deepEqual(ann.seal(Buffer.from('x'), 1_000), { refused: 'NZ_CHANNEL_EXPIRED' })
    assert.deepEqual([ann.state, ann.dueAtMs], ['expired', null])
    assert.ok(RESERVED_PACKETS > 100)
  })
})

describe('who stole the keys of an epoch', () => {
  /** All that Bob's side of epoch 0 is made of, but his static key. */
  function stolen(): { readonly ends: Ends; readonly thief: Channel } {
    const pair = handshake()
    const atBob = { ...pair.responder, secret: pair.responder.secret.slice() }
    const ends = channels({ pair, limits: few })
    const shared = { random: seededRandom(66), nowMs: 0, limits: few }
    return { ends, thief: new Channel({ ...shared, established: atBob, staticKey: EVE.staticKey }) }
  }

  it('reads that epoch and nothing after it', () => {
    const { ends, thief } = stolen()
    const packet = sealed(ends.ann, 'of epoch 0')
    assert.deepEqual([opened(thief, packet), opened(ends.bob, packet)], ['of epoch 0', 'of epoch 0'])
    for (let count = 0; count < 8; count += 1) ends.bob.open(sealed(ends.ann, 'x'), 0)
    for (let turns = 0; turns < 4; turns += 1) {
      // The thief hears all that both say to agree on new keys, and answers as Bob does.
      for (const packet of ends.ann.due(0)) for (const end of [thief, ends.bob]) end.open(packet, 0)
      thief.due(0)
      for (const packet of ends.bob.due(0)) ends.ann.open(packet, 0)
    }
    assert.deepEqual([ends.ann.epoch, ends.bob.epoch], [1, 1])
    const secret = sealed(ends.ann, 'of epoch 1')
    assert.ok(['NZ_CHANNEL_FORGED', 'NZ_CHANNEL_EPOCH'].includes(opened(thief, secret)))
    assert.equal(opened(ends.bob, secret), 'of epoch 1')
  })

  it('cannot agree on the next in the name of the peer', () => {
    const { ends, thief } = stolen()
    for (let count = 0; count < 8; count += 1) sealed(ends.ann, 'x')
    for (let count = 0; count < 8; count += 1) sealed(thief, 'counters that Bob did not use yet')
    for (const packet of ends.ann.due(0)) thief.open(packet, 0)
    const answers = thief.due(0)
    assert.ok(answers.map((packet) => opened(ends.ann, packet)).includes('accept'))
    assert.equal(ends.ann.epoch, 0, 'the acceptance shows no knowledge of the new keys')
    settle(ends, 5_000)
    assert.deepEqual([ends.ann.epoch, ends.bob.epoch], [1, 1], 'and the true one is taken after it')
  })
})
