/** Whatever bytes a peer sends, the decoder and the state machines answer with a protocol error or go on, in bounds. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isNzError } from '../../kernel/index.ts'
import { encodeControl, encodeDataFrame, FrameDecoder } from '../../protocols/transfer/frame.ts'
import { decodeMessage, encodeMessage, frameTypes, stopCodes } from '../../protocols/transfer/messages.ts'
import { openReceipt } from '../../protocols/transfer/receipt.ts'
import { ReceiverMachine } from '../../protocols/transfer/receiver.ts'
import { SenderMachine } from '../../protocols/transfer/sender.ts'
import type { TransferEvent } from '../../protocols/transfer/frame.ts'
import type { ControlMessage } from '../../protocols/transfer/messages.ts'

const numRuns = Number(process.env['NZ_FUZZ_RUNS'] ?? 20_000)
const seed = Number(process.env['NZ_FUZZ_SEED'] ?? Date.now() % 2 ** 31)

const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length })
const offset = fc.oneof(fc.nat(40), fc.maxSafeNat())
const message: fc.Arbitrary<ControlMessage> = fc.oneof(
  fc.constant({ type: 'alive' as const }),
  fc.record({
    type: fc.constant('offer' as const),
    id: bytes(16),
    name: fc.string({ minLength: 1, maxLength: 50 }),
    size: fc.option(offset),
    token: fc.option(bytes(16)),
  }),
  fc.record({ type: fc.constant('accept' as const), offset, sha256: bytes(32) }),
  fc.record({ type: fc.constant('begin' as const), offset }),
  fc.record({ type: fc.constant('ack' as const), offset }),
  fc.record({ type: fc.constant('end' as const), size: offset, sha256: bytes(32) }),
  fc.record({
    type: fc.constant('receipt' as const),
    body: fc.uint8Array({ minLength: 1, maxLength: 100 }),
    signature: bytes(64),
  }),
  fc.record({ type: fc.constant('stop' as const), code: fc.constantFrom(...stopCodes) }),
)

/** Runs `work`; only protocol errors may come out. */
function onlyBreaches(work: () => void): void {
  try {
    work()
  } catch (error) {
    assert.ok(isNzError(error, 'NZ_TRANSFER_PROTOCOL'), String(error))
  }
}

describe('transfer decoders', () => {
  it('throw nothing but protocol errors for random bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), (pieces) => {
        const decoder = new FrameDecoder()
        onlyBreaches(() => pieces.forEach((piece) => [...decoder.push(piece)]))
      }),
      { numRuns, seed },
    )
  })

  it('throw nothing but protocol errors for valid frames with flipped bytes, and accept only canonical ones', () => {
    fc.assert(
      fc.property(message, fc.nat(), fc.integer({ min: 1, max: 255 }), (valid, at, flip) => {
        const payload = encodeMessage(valid)
        if (payload.byteLength === 0) return
        payload[at % payload.byteLength] = (payload[at % payload.byteLength] ?? 0) ^ flip
        onlyBreaches(() => {
          const decoded = decodeMessage(frameTypes[valid.type], payload)
          if (decoded.type !== 'stop') assert.deepEqual(Buffer.from(encodeMessage(decoded)), Buffer.from(payload))
        })
      }),
      { numRuns, seed },
    )
  })

  it('answer null for receipts that are random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes(64), (body, signature) => {
        assert.equal(
          openReceipt(body, signature, () => true),
          null,
        )
      }),
      { numRuns: Math.ceil(numRuns / 10), seed },
    )
  })
})

describe('transfer state machines', () => {
  const event: fc.Arbitrary<TransferEvent> = fc.oneof(
    { weight: 3, arbitrary: message },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant('data' as const),
        bytes: fc.uint8Array({ minLength: 1, maxLength: 30 }),
      }),
    },
  )

  it('the receiver stays in its bounds for any order of messages', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 30 }), fc.nat(50), fc.boolean(), (events, held, acks) => {
        const machine = new ReceiverMachine({ maxBytes: 100, windowBytes: 64 })
        onlyBreaches(() => {
          for (const each of events) {
            const step = machine.receive(each)
            if (step.do === 'decide') machine.accept(held, new Uint8Array(32))
            if (step.do === 'begin') assert.ok(step.offset <= held)
            if (step.do === 'store' && acks) machine.ack(machine.offset)
            if (step.do === 'complete') assert.equal(step.end.size, machine.offset)
            assert.ok(machine.offset - machine.acked <= 64)
          }
        })
      }),
      { numRuns, seed },
    )
  })

  it('the sender stays in its bounds for any order of messages', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 30 }), (events) => {
        const machine = new SenderMachine(64)
        machine.offer({ id: new Uint8Array(16), name: 'x', size: null, token: null })
        onlyBreaches(() => {
          for (const each of events) {
            const step = machine.receive(each)
            if (step.do === 'checkPrefix') machine.begin(Math.min(step.offset, 7))
            if (step.do === 'forget') assert.ok(step.offset <= machine.offset)
            if (machine.credit > 3) machine.sent(machine.offset + 3)
            assert.ok(machine.credit >= 0 && machine.credit <= 64)
          }
        })
      }),
      { numRuns, seed },
    )
  })

  it('a decoder fed valid frames in pieces gives the frames back', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 6 }), fc.integer({ min: 1, max: 70 }), (messages, pieceBytes) => {
        const wire = Buffer.concat([...messages.map(encodeControl), encodeDataFrame(Uint8Array.of(1))])
        const decoder = new FrameDecoder()
        let count = 0
        for (let at = 0; at < wire.length; at += pieceBytes) {
          count += [...decoder.push(wire.subarray(at, at + pieceBytes))].length
        }
        assert.equal(count, messages.length + 1)
        assert.ok(decoder.isAtBoundary)
      }),
      { numRuns: Math.ceil(numRuns / 10), seed },
    )
  })
})
