/** What a peer stream keeps of what arrives, and to whom it gives it, over stand-ins for the libp2p stream. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { systemClock } from '../../kernel/index.ts'
import { ByteBudget } from '../../modules/network/byte-budget.ts'
import { readDirectly } from '../../modules/network/muxer/directly-readable.ts'
import { Libp2pPeerStream } from '../../modules/network/peer-stream.ts'
import type { Stream } from '@libp2p/interface'

const RECORD_BYTES = 65_519

interface Fake {
  readonly stream: Libp2pPeerStream
  readonly arrive: (bytes: Uint8Array) => void
  /** The peer closes its side. */
  readonly end: () => void
}

function streamOf(parts: object = {}): Fake {
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
    ...parts,
  })
  const account = new ByteBudget({ limitBytes: 64 * 1024 * 1024 }).account()
  const init = { peerId: 'p', account, clock: systemClock, onBytes: () => undefined }
  // The parts of the libp2p stream that are used.
  const stream = new Libp2pPeerStream(raw as unknown as Stream, init)
  return {
    stream,
    arrive: (data) => void raw.dispatchEvent(Object.assign(new Event('message'), { data })),
    end() {
      raw.dispatchEvent(new Event('remoteCloseWrite'))
      raw.dispatchEvent(new Event('end'))
    },
  }
}

/** Of a muxer that uses its memory again as soon as it has told. */
function lendingStream(): Fake & { tookBytes: () => number } {
  let sink: (bytes: Uint8Array) => void = () => assert.fail('nobody reads')
  let tookBytes = 0
  const fake = streamOf({
    lendsBytes: true,
    [readDirectly]: (given: typeof sink) => (sink = given),
    took: (byteLength: number) => (tookBytes += byteLength),
  })
  return {
    ...fake,
    arrive(bytes) {
      const lent = bytes.slice()
      sink(lent)
      lent.fill(0xee)
    },
    tookBytes: () => tookBytes,
  }
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

describe('a peer stream that is consumed', () => {
  for (const [kind, make] of [
    ['of events', streamOf],
    ['that lends', lendingStream],
  ] as const) {
    it(`gives what was there, then what comes, and ends with the peer, ${kind}`, async () => {
      const { stream, arrive, end } = make()
      arrive(Uint8Array.of(1, 2))
      const seen: number[] = []
      const consumed = stream.consume((bytes) => void seen.push(...bytes))
      arrive(Uint8Array.of(3))
      await new Promise(setImmediate)
      arrive(Uint8Array.of(4, 5))
      arrive(Uint8Array.of(6))
      assert.deepEqual(seen, [1, 2, 3, 4, 5, 6])
      end()
      await consumed
    })

    it(`keeps what comes while it is being used, in order, ${kind}`, async () => {
      const { stream, arrive, end } = make()
      const seen: number[] = []
      let free = (): void => undefined
      const consumed = stream.consume(async (bytes) => {
        seen.push(...bytes)
        await new Promise<void>((resolve) => (free = resolve))
      })
      await new Promise(setImmediate)
      for (const value of [1, 2, 3]) arrive(Uint8Array.of(value))
      end()
      for (const value of [1, 2, 3]) {
        await new Promise(setImmediate)
        assert.equal(seen.at(-1), value)
        assert.equal(stream.bufferedBytes, 3 - value)
        free()
      }
      await consumed
    })

    it(`can be read on when the use of it failed, ${kind}`, async () => {
      const { stream, arrive } = make()
      const consumed = stream.consume(() => {
        throw new Error('no')
      })
      await new Promise(setImmediate)
      arrive(Uint8Array.of(1))
      arrive(Uint8Array.of(2))
      await assert.rejects(consumed, /no/)
      assert.deepEqual(await stream.read(), Uint8Array.of(2))
    })
  }

  it('gives up on its signal, and room to the peer for what was used', async () => {
    const { stream, arrive, tookBytes } = lendingStream()
    const stop = new AbortController()
    const consumed = stream.consume(() => undefined, { signal: stop.signal })
    await new Promise(setImmediate)
    arrive(new Uint8Array(1_000))
    assert.equal(tookBytes(), 1_000)
    stop.abort(new Error('enough'))
    await assert.rejects(consumed, /enough/)
    arrive(Uint8Array.of(7))
    assert.equal(tookBytes(), 1_000)
    assert.deepEqual(await stream.read(), Uint8Array.of(7))
    assert.equal(tookBytes(), 1_001)
  })
})
