/** Any bytes, and good messages in which something was changed, to every reader of the routing protocol. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { decodeSegment, encodeSegment } from '../../protocols/flow/segment.ts'
import { decodeAnnouncements, decodeHello, decodeRequest } from '../../protocols/routing/announcement.ts'
import { readAnswer } from '../../protocols/routing/answer.ts'
import { decodeClosed } from '../../protocols/routing/closed.ts'
import { joinMessages, MessageSplitter } from '../../protocols/routing/link-frames.ts'
import { decodeConfirmation, decodeOpen, messageTypes, unseal } from '../../protocols/routing/link-message.ts'
import { MAX_MESSAGE_BYTES } from '../../protocols/routing/limits.ts'
import { readSetup } from '../../protocols/routing/setup.ts'
import { keyOfName, verifyFake } from '../fake/routing.ts'
import { Victim } from '../fake/routing-liar.ts'
import { fromHex, specVectors } from '../vectors.ts'
import type { MessageType } from '../../protocols/routing/link-message.ts'

const RUNS = process.env['NZ_FULL'] === '1' ? 1_000_000 : 3_000

interface Vectors {
  readonly link: { readonly offers: readonly { message: string }[]; readonly sealed: readonly { message: string }[] }
  readonly hellos: readonly { body: string }[]
  readonly announcement: { body: string }
  readonly request: { body: string }
  readonly closed: { body: string }
  readonly setup: { arrived: string }
  readonly answer: { home: string }
  readonly segments: readonly { segment: string }[]
}

const vectors = specVectors<Vectors>('routing.json')
const samples = [
  ...vectors.link.offers.map(({ message }) => message),
  ...vectors.link.sealed.map(({ message }) => message),
  ...vectors.hellos.map(({ body }) => body),
  ...[vectors.announcement, vectors.request, vectors.closed].map(({ body }) => body),
  vectors.setup.arrived,
  vectors.answer.home,
  ...vectors.segments.map(({ segment }) => segment),
].map(fromHex)

/** A good message with some bytes changed, cut, doubled; or anything. */
const messages = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc
    .record({
      sample: fc.constantFrom(...samples),
      changes: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
      keep: fc.nat(),
      isCut: fc.boolean(),
    })
    .map(({ sample, changes, keep, isCut }) => {
      const bytes = Uint8Array.from(sample)
      for (const [at, value] of changes) bytes[at % bytes.length] = value
      return isCut ? bytes.subarray(0, keep % (bytes.length + 1)) : bytes
    }),
)

const readers: Readonly<Record<string, (bytes: Uint8Array) => unknown>> = {
  offer: (bytes) => decodeOpen(bytes, verifyFake),
  'sealed message': (bytes) => unseal(new Uint8Array(32), bytes),
  hello: decodeHello,
  announcement: decodeAnnouncements,
  request: decodeRequest,
  setup: readSetup,
  answer: readAnswer,
  closed: decodeClosed,
  confirmation: decodeConfirmation,
}

describe('every reader of the routing protocol', () => {
  for (const [what, read] of Object.entries(readers))
    it(`takes any bytes as a ${what}, and throws at none`, () => {
      fc.assert(
        fc.property(messages, (bytes) => void read(bytes)),
        { numRuns: RUNS },
      )
    })

  it('reads segments as they would be written', () => {
    fc.assert(
      fc.property(messages, (bytes) => {
        const segment = decodeSegment(bytes)
        if (segment !== null) assert.deepEqual(Buffer.from(encodeSegment(segment)), Buffer.from(bytes))
      }),
      { numRuns: RUNS },
    )
  })

  it('cuts a stream into the same messages, however it is cut', () => {
    const parts = fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 10 })
    fc.assert(
      fc.property(parts, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (sent, cuts) => {
        const stream = joinMessages(sent)
        const splitter = new MessageSplitter()
        const found: Uint8Array[] = []
        for (let at = 0, n = 0; at < stream.length; n++) {
          const length = cuts[n % cuts.length] ?? 1
          found.push(...(splitter.push(stream.subarray(at, at + length)) ?? assert.fail()))
          at += length
        }
        assert.deepEqual(
          found.map((each) => Buffer.from(each)),
          sent.map((each) => Buffer.from(each)),
        )
      }),
      { numRuns: 300 },
    )
    const tooLong = Buffer.alloc(2)
    tooLong.writeUInt16BE(MAX_MESSAGE_BYTES + 1)
    assert.equal(new MessageSplitter().push(tooLong), null)
  })

  it('keeps a router whole, whatever a neighbour on a good link says', () => {
    const victim = new Victim(keyOfName('victim'))
    const liar = victim.meet(keyOfName('relay'))
    const types = Object.values(messageTypes).filter((type): type is MessageType => type !== messageTypes.open)
    fc.assert(
      fc.property(fc.constantFrom(...types), messages, (type, bytes) => {
        victim.nowMs += 5
        liar.say(type, bytes)
        liar.sayRaw(bytes)
        victim.run(victim.router.tick(victim.nowMs))
        assert.equal(victim.router.flowCount, 0)
      }),
      { numRuns: RUNS },
    )
  })
})
