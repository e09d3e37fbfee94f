import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { AnswererCalls, CallerCalls, MAX_CALLS_IN_FLIGHT } from '../../protocols/rpc/calls.ts'
import {
  encodeFrame,
  FrameDecoder,
  MAX_FRAME_BYTES,
  MAX_PAYLOAD_BYTES,
  MAX_TIMEOUT_MS,
  MAX_WHY_BYTES,
  RpcFrameError,
} from '../../protocols/rpc/frame.ts'
import { specVectors } from '../vectors.ts'
import type { RpcFrame } from '../../protocols/rpc/frame.ts'

interface Vectors {
  readonly valid: ReadonlyArray<{
    readonly name: string
    readonly hex: string
    readonly frame: Omit<RpcFrame, 'payload'> & { readonly payloadHex?: string }
  }>
  readonly invalid: ReadonlyArray<{ readonly name: string; readonly hex: string }>
}

const { valid, invalid } = specVectors<Vectors>('rpc.json')
const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))
const request = (call: number): RpcFrame => ({
  type: 'request',
  call,
  timeoutMs: 1,
  method: 'm',
  payload: new Uint8Array(),
})

const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$/)
const call = fc.integer({ min: 0, max: 0xffff_ffff })
const payload = fc.uint8Array({ maxLength: 2_000 })
const anyFrame: fc.Arbitrary<RpcFrame> = fc.oneof(
  fc.record({
    type: fc.constant('request' as const),
    call,
    timeoutMs: fc.integer({ min: 0, max: MAX_TIMEOUT_MS }),
    method: name,
    payload,
  }),
  fc.record({ type: fc.constant('answer' as const), call, payload }),
  fc.record({ type: fc.constant('error' as const), call, code: name, why: fc.string({ maxLength: 100 }) }),
  fc.record({ type: fc.constant('cancel' as const), call }),
)

describe('frames', () => {
  it('that come in single bytes hold few of the buffers they came in', async () => {
    setFlagsFromString('--expose-gc')
    const collectOnce = runInNewContext('gc') as () => void
    // Buffers are freed beside the program, after a collection; the next one waits for that.
    const collect = (): void => {
      collectOnce()
      collectOnce()
    }
    const recordBytes = 65_536
    const bytes = encodeFrame({ ...request(1), payload: new Uint8Array(2_000).fill(7) } as RpcFrame)
    const decoder = new FrameDecoder()
    collect()
    const before = process.memoryUsage().arrayBuffers
    for (const byte of bytes.subarray(0, -1)) decoder.push(new Uint8Array(recordBytes).fill(byte).subarray(9, 10))
    const held = (): number => {
      collect()
      return process.memoryUsage().arrayBuffers - before
    }
    // What was collected is given back a little later.
    for (let round = 0; round < 100 && held() >= 320 * recordBytes; round += 1) await new Promise(setImmediate)
    assert.ok(held() < 320 * recordBytes, `${held()} bytes are held`)
    assert.equal(decoder.push(bytes.subarray(-1)).length, 1)
  })

  for (const { name: title, hex: bytes, frame } of valid)
    it(`vector: ${title}`, () => {
      const { payloadHex, ...rest } = frame
      // The vector file holds frames as JSON.
      const expected = (payloadHex === undefined ? rest : { ...rest, payload: hex(payloadHex) }) as RpcFrame
      assert.equal(Buffer.from(encodeFrame(expected)).toString('hex'), bytes)
      assert.deepEqual(new FrameDecoder().push(hex(bytes)), [expected])
    })

  for (const { name: title, hex: bytes } of invalid)
    it(`vector: ${title} is refused`, () => {
      assert.throws(() => new FrameDecoder().push(hex(bytes)), RpcFrameError)
    })

  it('come out as they went in, wherever the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 6 }), fc.array(fc.nat(500)), (frames, cuts) => {
        const bytes = Buffer.concat(frames.map(encodeFrame))
        const decoder = new FrameDecoder()
        const seen: RpcFrame[] = []
        let at = 0
        for (const length of [...cuts, bytes.length]) {
          seen.push(...decoder.push(new Uint8Array(bytes.subarray(at, at + length))))
          at += length
        }
        assert.deepEqual(
          seen.map(plain),
          frames.map((frame) => plain(frame.type === 'error' ? { ...frame, why: frame.why.toWellFormed() } : frame)),
        )
        assert.equal(decoder.heldBytes, 0)
      }),
    )
  })

  it('at the bounds pass, above them are refused before their bytes have come', () => {
    const largest = encodeFrame({
      type: 'request',
      call: 1,
      timeoutMs: MAX_TIMEOUT_MS,
      method: 'm'.repeat(64),
      payload: new Uint8Array(MAX_PAYLOAD_BYTES),
    })
    assert.equal(largest.byteLength, MAX_FRAME_BYTES + 4)
    assert.equal(new FrameDecoder().push(largest).length, 1)
    const head = Buffer.alloc(4)
    head.writeUInt32BE(MAX_FRAME_BYTES + 1)
    assert.throws(() => new FrameDecoder().push(head), RpcFrameError)
    assert.throws(() => encodeFrame({ type: 'answer', call: 1, payload: new Uint8Array(MAX_FRAME_BYTES) }), RangeError)
    assert.throws(() => encodeFrame({ ...request(1), method: 'a b' } as RpcFrame), RangeError)
  })

  it('hold back no more than has arrived', () => {
    const decoder = new FrameDecoder()
    const bytes = encodeFrame({ type: 'answer', call: 1, payload: new Uint8Array(100_000) })
    for (let at = 0; at < 1_000; at += 1) assert.deepEqual(decoder.push(bytes.subarray(at, at + 1)), [])
    assert.equal(decoder.heldBytes, 1_000)
  })

  it('cut a long explanation between characters', () => {
    const bytes = encodeFrame({ type: 'error', call: 1, code: 'NZ_X', why: '€'.repeat(400) })
    const [frame] = new FrameDecoder().push(bytes)
    assert.equal(frame?.type === 'error' && frame.why, '€'.repeat(Math.floor(MAX_WHY_BYTES / 3)))
  })
})

describe('calls', () => {
  it('match answers to callers in any order, and ignore answers nobody waits for', () => {
    const calls = new CallerCalls()
    const seen: string[] = []
    const [a, b, c] = ['a', 'b', 'c'].map((label) => calls.open((outcome) => seen.push(`${label} ${outcome.ok}`)))
    assert.ok(a !== undefined && b !== undefined && c !== undefined)
    calls.receive({ type: 'error', call: c, code: 'NZ_X', why: '' })
    assert.equal(calls.cancel(b), true)
    assert.equal(calls.cancel(b), false)
    for (const late of [b, a, a, 999]) calls.receive({ type: 'answer', call: late, payload: new Uint8Array() })
    assert.deepEqual(seen, ['c false', 'a true'])
    assert.equal(calls.size, 0)
  })

  it('are bounded on both ends', () => {
    const caller = new CallerCalls()
    const answerer = new AnswererCalls()
    for (let at = 0; at < MAX_CALLS_IN_FLIGHT; at += 1) answerer.receive(request(caller.open(() => undefined)))
    assert.equal(caller.hasRoom, false)
    assert.throws(() => caller.open(() => undefined), RangeError)
    assert.throws(() => answerer.receive(request(9_999)), RpcFrameError)
    answerer.done(1)
    assert.deepEqual(answerer.receive({ type: 'cancel', call: 1 }), { do: 'nothing' })
    assert.deepEqual(answerer.receive({ type: 'cancel', call: 2 }), { do: 'cancel', call: 2 })
    assert.equal(answerer.receive(request(9_999)).do, 'answer')
  })

  it('refuse numbers in use and frames of the other end', () => {
    const answerer = new AnswererCalls()
    answerer.receive(request(1))
    assert.throws(() => answerer.receive(request(1)), RpcFrameError)
    assert.throws(() => answerer.receive({ type: 'answer', call: 1, payload: new Uint8Array() }), RpcFrameError)
    assert.throws(() => new CallerCalls().receive(request(1)), RpcFrameError)
  })
})

function plain(frame: RpcFrame): object {
  return 'payload' in frame ? { ...frame, payload: Buffer.from(frame.payload).toString('hex') } : { ...frame }
}
