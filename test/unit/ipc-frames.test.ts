import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { encodeFrame, FrameDecoder, MAX_DATA_FRAME_BYTES, MAX_MESSAGE_FRAME_BYTES } from '../../protocols/ipc/duplex.ts'
import { duplexPair } from '../../protocols/ipc/framed-duplex.ts'
import { decodeQuery, encodeQuery } from '../../protocols/ipc/query.ts'
import { z } from 'zod'
import type { Frame } from '../../protocols/ipc/duplex.ts'

interface Vectors {
  readonly valid: ReadonlyArray<{ name: string; hex: string; frame: { type: string; hex?: string } & object }>
  readonly invalid: ReadonlyArray<{ name: string; hex: string }>
}

const vectors = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../spec/vectors/ipc-frames.json'), 'utf8'),
) as Vectors

/** Frames with bytes as hex, as the vectors write them. */
function plain(frame: Frame): object {
  return frame.type === 'data' ? { type: 'data', hex: Buffer.from(frame.bytes).toString('hex') } : frame
}

function decodeAll(bytes: Uint8Array, cuts: readonly number[] = []): Frame[] {
  const decoder = new FrameDecoder()
  const frames: Frame[] = []
  const edges = [0, ...cuts.map((cut) => cut % (bytes.byteLength + 1)).toSorted((a, b) => a - b), bytes.byteLength]
  for (const [i, edge] of edges.slice(1).entries()) {
    decoder.push(bytes.subarray(edges[i], edge))
    for (let frame = decoder.next(); frame !== null; frame = decoder.next()) frames.push(frame)
  }
  decoder.finish()
  return frames
}

/** Neighbouring data is one run of bytes: where it was cut means nothing. */
function joined(frames: readonly Frame[]): object[] {
  const out: Array<{ type: string; hex?: string }> = []
  for (const frame of frames.map(plain) as Array<{ type: string; hex?: string }>) {
    const last = out.at(-1)
    if (frame.type === 'data' && last?.type === 'data') last.hex = `${last.hex ?? ''}${frame.hex ?? ''}`
    else if (frame.type !== 'data' || frame.hex !== '') out.push({ ...frame })
  }
  return out
}

describe('frames of a duplex', () => {
  for (const { name, hex, frame } of vectors.valid) {
    it(`vector: ${name}`, () => {
      assert.deepEqual(decodeAll(Buffer.from(hex, 'hex')).map(plain), [frame])
      const given = (
        frame.type === 'data' ? { type: 'data', bytes: Buffer.from(frame.hex ?? '', 'hex') } : frame
      ) as Frame
      assert.equal(Buffer.concat(encodeFrame(given)).toString('hex'), hex)
    })
  }

  for (const { name, hex } of vectors.invalid) {
    it(`refused vector: ${name}`, () => {
      assert.throws(() => decodeAll(Buffer.from(hex, 'hex')), { code: 'NZ_IPC_FRAME_INVALID' })
    })
  }

  it('come back as they were, however the bytes are cut', () => {
    const error = { code: 'NZ_X', what: 'x', why: null, do: [], retryable: false, status: 400, exit: 'usage', data: {} }
    const frame = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes): Frame => ({ type: 'data', bytes })),
      fc.jsonValue().map((message): Frame => ({ type: 'message', message: JSON.parse(JSON.stringify(message)) })),
    )
    const last = fc.constantFrom<Frame>({ type: 'end' }, { type: 'error', error: { ...error, exit: 'usage' } })
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 8 }), last, fc.array(fc.nat(), { maxLength: 12 }), (some, end, cuts) => {
        const frames = [...some, end]
        const bytes = Buffer.concat(frames.flatMap(encodeFrame))
        assert.deepEqual(joined(decodeAll(bytes, cuts)), joined(frames))
      }),
      { numRuns: 300 },
    )
  })

  it('stand at their bounds', () => {
    const data = (length: number): Uint8Array =>
      Buffer.concat(encodeFrame({ type: 'data', bytes: new Uint8Array(length) }))
    assert.equal(decodeAll(data(MAX_DATA_FRAME_BYTES)).length, 1)
    assert.throws(() => data(MAX_DATA_FRAME_BYTES + 1), { code: 'NZ_IPC_FRAME_INVALID' })
    const message = (length: number): Frame => ({ type: 'message', message: 'x'.repeat(length - 2) })
    assert.equal(decodeAll(Buffer.concat(encodeFrame(message(MAX_MESSAGE_FRAME_BYTES)))).length, 1)
    assert.throws(() => encodeFrame(message(MAX_MESSAGE_FRAME_BYTES + 1)), { code: 'NZ_IPC_FRAME_INVALID' })
  })
})

describe('a duplex that is not read', () => {
  it('holds back the sender of large messages', async () => {
    const [ours] = duplexPair()
    let sent = 0
    const sending = (async () => {
      for (; ; sent += 1) await ours.send({ text: 'x'.repeat(60_000) })
    })()
    for (let before = -1; before !== sent;) {
      before = sent
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    assert.ok(sent < 20, `${sent} messages of 60 kB were taken`)
    ours.fail(new Error('enough'))
    await assert.rejects(sending)
  })
})

describe('params in a query', () => {
  it('come back as they were', () => {
    const schema = z.strictObject({
      text: z.string().optional(),
      count: z.number().optional(),
      isOn: z.boolean().optional(),
      list: z.array(z.string()).optional(),
      choice: z.enum(['1', '2']).optional(),
      either: z.union([z.string(), z.null()]).optional(),
    })
    const params = fc.record(
      {
        text: fc.string({ unit: 'binary' }),
        count: fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (Object.is(n, -0) ? 0 : n)),
        isOn: fc.boolean(),
        list: fc.array(fc.string({ unit: 'binary' })),
        choice: fc.constantFrom('1', '2'),
      },
      { requiredKeys: [], noNullPrototype: true },
    )
    fc.assert(
      fc.property(params, (given) => {
        assert.deepEqual(decodeQuery(schema, new URLSearchParams(encodeQuery(given).toString())), given)
      }),
      { numRuns: 300 },
    )
  })

  it('may name a list several times, anything else once', () => {
    const schema = z.strictObject({ list: z.array(z.string()), text: z.string() })
    assert.deepEqual(decodeQuery(schema, new URLSearchParams('list=a&list=b')), { list: ['a', 'b'] })
    assert.deepEqual(decodeQuery(schema, new URLSearchParams('list=a')), { list: ['a'] })
    assert.throws(() => decodeQuery(schema, new URLSearchParams('text=a&text=b')), { code: 'NZ_IPC_PARAMS_INVALID' })
    assert.deepEqual(Object.keys(decodeQuery(schema, new URLSearchParams('__proto__=1'))), ['__proto__'])
  })
})
