/** Mutated yamux frames: taken or refused with an error of the catalogue, bounded in memory, and never anything else. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { isNzError, seededRandom } from '../../kernel/index.ts'
import { INITIAL_WINDOW_BYTES } from '../../protocols/yamux/constants.ts'
import { sessionWith } from '../fake/yamux.ts'
import { specVectors } from '../vectors.ts'
import type { SessionEnd } from '../fake/yamux.ts'

const RUNS = Number(process.env['NZ_FUZZ_RUNS'] ?? 60_000)
const MAX_STREAMS = 8

it('a session survives mutated frames', (t) => {
  const seed = Number(process.env['NZ_FUZZ_SEED'] ?? Date.now() % 2 ** 32)
  t.diagnostic(`seed ${seed} (NZ_FUZZ_SEED), ${RUNS} runs`)
  const random = seededRandom(seed)
  const below = (bound: number): number => Math.floor(random.unit() * bound)
  const { frames, refused } = specVectors<Record<'frames' | 'refused', ReadonlyArray<{ hex: string }>>>('yamux.json')
  const corpus = [...frames, ...refused].map(({ hex }) => Buffer.from(hex, 'hex'))
  let accepted = 0
  for (let run = 0; run < RUNS; run += 1) {
    const bytes = mutate(corpus, below)
    const end = sessionWith({ isClient: run % 2 === 0, maxInboundStreams: MAX_STREAMS })
    const own = end.open()
    end.session.greet(own.channel)
    try {
      for (let at = 0; at < bytes.byteLength;) {
        const length = 1 + below(bytes.byteLength)
        end.session.push(bytes.subarray(at, at + length))
        at += length
        use(end, below)
      }
      accepted += 1
    } catch (error) {
      if (!isNzError(error, 'NZ_MUXER_FRAME_INVALID', 'NZ_MUXER_WINDOW_EXCEEDED')) throw error
    }
    assert.ok(end.session.streams <= MAX_STREAMS + 1)
    for (const { channel, unread } of end.streams) assert.ok(unread <= INITIAL_WINDOW_BYTES && channel.sendBytes >= 0)
    assert.ok(end.frames.length <= 4 + bytes.byteLength / 4, 'no frame is answered with many')
  }
  t.diagnostic(`${accepted} taken whole`)
  assert.ok(accepted > RUNS / 50, 'the mutations still reach the code behind the header')
})

/** What an application does in between. */
function use({ session, streams }: SessionEnd, below: (bound: number) => number): void {
  const channel = streams[below(streams.length)]?.channel
  if (channel === undefined) return
  const act = below(8)
  if (act === 0) session.finish(channel)
  else if (act === 1) session.reset(channel)
  else if (act === 2) session.greet(channel)
  else if (act === 3) session.send(channel, Uint8Array.of(1))
}

/** One to four frames of the corpus, with bytes flipped, cut, doubled or random. */
function mutate(corpus: readonly Buffer[], below: (bound: number) => number): Buffer {
  const parts = Array.from({ length: 1 + below(4) }, () => Buffer.from(corpus[below(corpus.length)] ?? Buffer.alloc(0)))
  const bytes = Buffer.concat(parts)
  for (let flips = below(3); flips > 0 && bytes.byteLength > 0; flips -= 1) {
    bytes[below(bytes.byteLength)] = below(4) === 0 ? below(256) : below(12)
  }
  return below(5) === 0 ? bytes.subarray(0, below(bytes.byteLength)) : bytes
}
