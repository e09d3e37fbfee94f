/** What a peer stream keeps of what arrives while nobody reads, over a stand-in for the libp2p stream. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { systemClock } from '../../kernel/index.ts'
import { ByteBudget } from '../../modules/network/byte-budget.ts'
import { Libp2pPeerStream } from '../../modules/network/peer-stream.ts'
import type { Stream } from '@libp2p/interface'

const RECORD_BYTES = 65_519

function streamOf(): { stream: Libp2pPeerStream; arrive: (bytes: Uint8Array) => void } {
  const raw = Object.assign(new EventTarget(), {
    protocol: '/t/1',
    status: 'open',
    readStatus: 'readable',
    writeStatus: 'writable',
    remoteWriteStatus: 'writable',
    readBufferLength: 0,
    writeBufferLength: 0,
    direction: 'inbound',
    pause: () => (raw.readStatus = 'paused'),
    resume: () => (raw.readStatus = 'readable'),
    abort: () => undefined,
  })
  const account = new ByteBudget({ limitBytes: 64 * 1024 * 1024 }).account()
  const init = { peerId: 'p', account, clock: systemClock, onBytes: () => undefined }
  // The parts of the libp2p stream that are used.
  const stream = new Libp2pPeerStream(raw as unknown as Stream, init)
  return { stream, arrive: (data) => void raw.dispatchEvent(Object.assign(new Event('message'), { data })) }
}

/** `length` bytes as yamux gives them: a view of the record they came in. */
function pieceOf(length: number, value: number): Uint8Array {
  return new Uint8Array(RECORD_BYTES).fill(value).subarray(100, 100 + length)
}

describe('a peer stream that is not read', () => {
  it('keeps about what arrived, however small the pieces and large their records, in order', async () => {
    const { stream, arrive } = streamOf()
    const sizes = [1, 1, 5_000, ...Array<number>(9_000).fill(1), 40_000, 3, 4_096, 2]
    for (const [at, size] of sizes.entries()) arrive(pieceOf(size, at & 0xff))
    const total = sizes.reduce((sum, size) => sum + size, 0)
    assert.equal(stream.bufferedBytes, total)
    const held = new Set<ArrayBufferLike>()
    const seen: number[] = []
    for (let left = total; left > 0;) {
      const chunk = await stream.read()
      assert.ok(chunk)
      held.add(chunk.buffer)
      seen.push(...chunk)
      left -= chunk.byteLength
    }
    const heldBytes = [...held].reduce((sum, { byteLength }) => sum + byteLength, 0)
    assert.ok(heldBytes < 2 * total + 16_384, `${heldBytes} bytes are held for ${total}`)
    assert.deepEqual(
      seen,
      sizes.flatMap((size, at) => Array<number>(size).fill(at & 0xff)),
    )
    assert.equal(stream.bufferedBytes, 0)
  })
})
