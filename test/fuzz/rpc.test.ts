/** Mutated and random frames: decoded or refused with one error, never anything else, and bounded in memory. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { seededRandom } from '../../kernel/index.ts'
import { AnswererCalls, CallerCalls } from '../../protocols/rpc/calls.ts'
import { encodeFrame, FrameDecoder, MAX_FRAME_BYTES, RpcFrameError } from '../../protocols/rpc/frame.ts'
import { specVectors } from '../vectors.ts'
import type { RpcFrame } from '../../protocols/rpc/frame.ts'

const RUNS = Number(process.env['NZ_FUZZ_RUNS'] ?? 60_000)

it('the frame decoder and both ends of a stream survive mutated frames', (t) => {
  const seed = Number(process.env['NZ_FUZZ_SEED'] ?? Date.now() % 2 ** 32)
  t.diagnostic(`seed ${seed} (NZ_FUZZ_SEED), ${RUNS} runs`)
  const random = seededRandom(seed)
  const below = (bound: number): number => Math.floor(random.unit() * bound)
  const { valid, invalid } = specVectors<Record<'valid' | 'invalid', ReadonlyArray<{ hex: string }>>>('rpc.json')
  const corpus = [...valid, ...invalid].map(({ hex }) => new Uint8Array(Buffer.from(hex, 'hex')))
  let decoded = 0
  let slowestMs = 0
  for (let run = 0; run < RUNS; run += 1) {
    const bytes = mutate(corpus, below, (length) => random.bytes(length))
    const startedMs = performance.now()
    const decoder = new FrameDecoder()
    const [caller, answerer] = [new CallerCalls(), new AnswererCalls()]
    caller.open(() => undefined)
    try {
      for (let at = 0; at < bytes.byteLength;) {
        const length = 1 + below(bytes.byteLength)
        for (const frame of decoder.push(bytes.subarray(at, at + length))) {
          decoded += 1
          assert.deepEqual(new FrameDecoder().push(encodeFrame(frame)), [frame], 'decodes to what it encodes')
          give(frame, caller, answerer)
        }
        at += length
      }
      assert.ok(decoder.heldBytes <= Math.min(bytes.byteLength, MAX_FRAME_BYTES + 4))
    } catch (error) {
      if (!(error instanceof RpcFrameError)) throw error
    }
    slowestMs = Math.max(slowestMs, performance.now() - startedMs)
  }
  t.diagnostic(`${decoded} frames decoded, slowest run ${slowestMs.toFixed(1)} ms`)
  assert.ok(decoded > RUNS / 20, 'the mutations still reach the code behind the length')
})

function give(frame: RpcFrame, caller: CallerCalls, answerer: AnswererCalls): void {
  for (const end of [caller, answerer]) {
    try {
      end.receive(frame)
    } catch (error) {
      if (!(error instanceof RpcFrameError)) throw error
    }
  }
}

/** One to three frames of the corpus, with bytes flipped, cut, doubled or random. */
function mutate(
  corpus: readonly Uint8Array[],
  below: (bound: number) => number,
  bytes: (length: number) => Uint8Array,
): Uint8Array {
  const parts = Array.from({ length: 1 + below(3) }, () => (corpus[below(corpus.length)] ?? bytes(8)).slice())
  let whole = new Uint8Array(Buffer.concat(parts))
  for (let times = below(4); times > 0; times -= 1) {
    const at = below(whole.byteLength || 1)
    switch (below(4)) {
      case 0:
        whole[at] = below(256)
        break
      case 1:
        whole = whole.slice(0, at)
        break
      case 2:
        whole = new Uint8Array(Buffer.concat([whole.subarray(0, at), bytes(below(40)), whole.subarray(at)]))
        break
      default:
        whole = new Uint8Array(Buffer.concat([whole.subarray(0, at), whole.subarray(at - below(at + 1))]))
    }
  }
  return whole
}
