/** Limits of frames, handshakes and channels that no other test stands at (NZ-WIRE-01, NZ-HANDSHAKE-01, NZ-CHANNEL-01). */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  channelLimits,
  EPOCH_OVERLAP_MS,
  MAX_OVERLAP_MS,
  MAX_PAYLOAD_BYTES,
} from '../../../protocols/channel/limits.ts'
import { startHandshake } from '../../../protocols/handshake/handshake.ts'
import { COOKIE_BYTES, MAX_PURPOSE_BYTES, MAX_RETRIES, MAX_VERSIONS } from '../../../protocols/handshake/limits.ts'
import { decodePayload, encodePayload, encodeRetry } from '../../../protocols/handshake/messages.ts'
import { decompress } from '../../../protocols/wire/compression.ts'
import {
  frameType,
  HEADER_BYTES,
  MAX_CHUNK_BYTES,
  MAX_DONE_IDS,
  MAX_HANDSHAKE_BODY_BYTES,
  PACKET_OVERHEAD_BYTES,
  readHeader,
  writeHeader,
} from '../../../protocols/wire/frame.ts'
import { MAX_WINDOW_LOG } from '../../../protocols/wire/limits.ts'
import { channels, initiatorInit, opened, responderInit, sealed } from '../../fake/channel.ts'
import type { FrameType } from '../../../protocols/wire/frame.ts'

describe('a frame', () => {
  const bounds: Readonly<Record<keyof typeof frameType, readonly [least: number, most: number]>> = {
    hello: [38, MAX_HANDSHAKE_BODY_BYTES],
    answer: [36, MAX_HANDSHAKE_BODY_BYTES],
    finish: [36, MAX_HANDSHAKE_BODY_BYTES],
    retry: [20, 20],
    refuse: [5, 5],
    packet: [PACKET_OVERHEAD_BYTES, PACKET_OVERHEAD_BYTES + MAX_PAYLOAD_BYTES],
    open: [9, 9],
    chunk: [9, 8 + MAX_CHUNK_BYTES],
    credit: [8, 8],
    done: [4, 4 * MAX_DONE_IDS],
    cancel: [4, 4],
    reject: [5, 5],
  }
  const headerOf = (type: FrameType, bodyBytes: number): string => {
    const bytes = new Uint8Array(HEADER_BYTES)
    writeHeader(bytes, type, bodyBytes)
    const header = readHeader(bytes)
    return typeof header === 'string' ? header : 'taken'
  }
  for (const [name, [least, most]] of Object.entries(bounds))
    it(`of type ${name} has ${least} to ${most} bytes: what is more or less is refused by its header`, () => {
      const type = frameType[name as keyof typeof frameType]
      assert.deepEqual(
        [least - 1, least, most, most + 1].map((bodyBytes) => headerOf(type, bodyBytes)),
        ['NZ_WIRE_MALFORMED', 'taken', 'taken', 'NZ_WIRE_TOO_LARGE'],
      )
    })

  it('of zstd asks for a window up to the bound, and for no larger one', () => {
    // RFC 8878: magic, no content size, window of 2^log, one last raw block of one byte.
    const asking = (log: number): Uint8Array =>
      Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, (log - 10) << 3, (1 << 3) | 1, 0, 0, 0x41)
    assert.deepEqual(Buffer.from(decompress('zstd', asking(MAX_WINDOW_LOG), 1)), Buffer.from([0x41]))
    assert.equal(decompress('zstd', asking(MAX_WINDOW_LOG + 1), 1), 'NZ_WIRE_COMPRESSION')
  })
})

describe('a handshake', () => {
  it('names so many versions, and a purpose of so many bytes', () => {
    const payload = { versions: [1], purpose: 'p', features: [], index: 1, peer: null, proof: null }
    const isTaken = (changes: Partial<typeof payload>): boolean =>
      decodePayload(encodePayload({ ...payload, ...changes })) !== null
    const versions = (count: number): number[] => Array.from({ length: count }, (_, n) => n + 1)
    assert.deepEqual(
      [MAX_VERSIONS, MAX_VERSIONS + 1].map((count) => isTaken({ versions: versions(count) })),
      [true, false],
    )
    assert.deepEqual(
      [MAX_PURPOSE_BYTES, MAX_PURPOSE_BYTES + 1].map((count) => isTaken({ purpose: 'p'.repeat(count) })),
      [true, false],
    )
  })

  it('calls again with so many cookies, and with no further one', () => {
    const calling = startHandshake(initiatorInit())
    const hello = Buffer.from(calling.due(0).send[0] ?? assert.fail())
    const retry = (n: number): Uint8Array =>
      encodeRetry(hello.readUInt32BE(HEADER_BYTES + 1), new Uint8Array(COOKIE_BYTES).fill(n))
    for (let n = 1; n <= MAX_RETRIES; n++) {
      const [again] = calling.receive(retry(n), 0).send
      assert.equal(again?.[HEADER_BYTES + 6], n, 'the cookie is in it')
    }
    const { send, refused } = calling.receive(retry(9), 0)
    assert.deepEqual([send, refused], [[], 'NZ_HANDSHAKE_COOKIE'])
    // The true peer is heard all the same.
    assert.equal(startHandshake(responderInit()).receive(hello, 0).refused, undefined)
  })
})

describe('an epoch that is over', () => {
  it('opens what was under way for so long when the peer never uses the next one', () => {
    const ends = channels({ limits: { ...channelLimits, rekeyPackets: 8 } })
    const late = [1, 2, 3].map((n) => sealed(ends.bob, `late ${n}`))
    for (let count = 0; count < 8; count += 1) ends.bob.open(sealed(ends.ann, 'x'), 0)
    for (const proposal of ends.ann.due(0)) ends.bob.open(proposal, 0)
    for (const answer of ends.bob.due(0)) ends.ann.open(answer, 0)
    assert.deepEqual([ends.ann.epoch, ends.bob.epoch], [1, 0])
    assert.ok(MAX_OVERLAP_MS > EPOCH_OVERLAP_MS)
    assert.equal(opened(ends.ann, late[0] ?? assert.fail(), EPOCH_OVERLAP_MS), 'late 1')
    assert.equal(opened(ends.ann, late[1] ?? assert.fail(), MAX_OVERLAP_MS - 1), 'late 2')
    assert.equal(opened(ends.ann, late[2] ?? assert.fail(), MAX_OVERLAP_MS), 'NZ_CHANNEL_EPOCH')
  })
})
