/** The wire format of transfers: frames, messages, window, state machines, receipts, names. */
import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, sign, verify, createPublicKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { base58 } from '@scure/base'
import fc from 'fast-check'
import { encodeControl, encodeDataFrame, FrameDecoder } from '../../protocols/transfer/frame.ts'
import { FRAME_HEADER_BYTES, MAX_CONTROL_BYTES, MAX_DATA_BYTES } from '../../protocols/transfer/limits.ts'
import { MAX_FILE_NAME_BYTES, numberedFileName, safeFileName } from '../../protocols/transfer/name.ts'
import { encodeReceipt, isReceiptFor, nodeKeyOf, openReceipt, receiptId } from '../../protocols/transfer/receipt.ts'
import { ReceiverMachine } from '../../protocols/transfer/receiver.ts'
import { SenderMachine } from '../../protocols/transfer/sender.ts'
import { SendWindow } from '../../protocols/transfer/window.ts'
import type { TransferEvent } from '../../protocols/transfer/frame.ts'
import type { ControlMessage } from '../../protocols/transfer/messages.ts'

const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(bytes).digest())
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

function decodeAll(bytes: Uint8Array, pieceBytes = bytes.byteLength): TransferEvent[] {
  const decoder = new FrameDecoder()
  const events: TransferEvent[] = []
  for (let at = 0; at < bytes.byteLength; at += pieceBytes) {
    events.push(...decoder.push(bytes.subarray(at, at + pieceBytes)))
  }
  return events
}

const offer = { id: new Uint8Array(16).fill(1), name: 'a.txt', size: 10, token: null } as const
const protocolBreach = { code: 'NZ_TRANSFER_PROTOCOL' }

describe('transfer frames', () => {
  it('reads what it wrote, however the bytes are cut', () => {
    const messages: ControlMessage[] = [
      { type: 'offer', ...offer },
      { type: 'offer', ...offer, size: null, token: new Uint8Array(16).fill(2) },
      { type: 'alive' },
      { type: 'accept', offset: 7, sha256: new Uint8Array(32).fill(3) },
      { type: 'begin', offset: 5 },
      { type: 'ack', offset: 2 ** 40 },
      { type: 'end', size: 10, sha256: new Uint8Array(32).fill(4) },
      { type: 'receipt', body: new Uint8Array(200), signature: new Uint8Array(64) },
      { type: 'stop', code: 'no-space' },
    ]
    const wire = Buffer.concat(messages.map(encodeControl))
    for (const pieceBytes of [1, 2, 5, 6, 64, wire.length]) {
      assert.deepEqual(JSON.stringify(decodeAll(wire, pieceBytes)), JSON.stringify(messages))
    }
  })

  it('passes data through, byte for byte, between control frames', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 8 }),
        fc.integer({ min: 1, max: 400 }),
        (payloads, pieceBytes) => {
          const wire = Buffer.concat(
            payloads.flatMap((bytes) => [encodeDataFrame(bytes), encodeControl({ type: 'alive' })]),
          )
          const got = decodeAll(wire, pieceBytes).flatMap((event) => (event.type === 'data' ? [event.bytes] : []))
          assert.equal(hex(Buffer.concat(got)), hex(Buffer.concat(payloads)))
        },
      ),
    )
  })

  it('takes frames at their size limit and refuses them one byte above', () => {
    assert.equal(decodeAll(encodeDataFrame(new Uint8Array(MAX_DATA_BYTES))).length, 1)
    assert.throws(() => decodeAll(Uint8Array.of(4, 0, 4, 0, 1)), protocolBreach)
    assert.throws(() => decodeAll(Uint8Array.of(4, 0, 0, 0, 0)), protocolBreach)
    assert.equal(decodeAll(Uint8Array.of(1, 0, 0, MAX_CONTROL_BYTES >> 8, 0)).length, 0)
    assert.throws(() => decodeAll(Uint8Array.of(1, 0, 0, MAX_CONTROL_BYTES >> 8, 1)), protocolBreach)
    assert.throws(() => decodeAll(Uint8Array.of(9, 0, 0, 0, 0)), protocolBreach)
  })

  it('refuses control frames that are not the one encoding of a valid message', () => {
    const frame = (type: number, payload: string): Uint8Array => {
      const bytes = Buffer.from(payload, 'hex')
      return Buffer.concat([Uint8Array.of(type, 0, 0, 0, bytes.length), bytes])
    }
    assert.equal(decodeAll(frame(5, 'a1666f666673657405')).length, 1)
    for (const payload of [
      '', // nothing
      'a0', // no offset
      'a1666f66667365741805', // 5 in two bytes
      'a1666f666673657420', // negative
      'a1666f6666736574fb3ff8000000000000', // 1.5
      'a1666f66667365741b0020000000000000', // 2^53
      'a2666f666673657405666f666673657405', // doubled key
      'a2616101666f666673657405', // unknown key
      'bf666f666673657405ff', // indefinite
      '8105', // array
      'a1666f66667365740500', // trailing byte
    ]) {
      assert.throws(() => decodeAll(frame(5, payload)), protocolBreach, payload)
    }
  })

  it('reads unknown stop codes as failed', () => {
    const [event] = decodeAll(Uint8Array.of(8, 0, 0, 0, 8, 0xa1, 0x64, 0x63, 0x6f, 0x64, 0x65, 0x61, 0x78))
    assert.deepEqual(event, { type: 'stop', code: 'failed' })
  })

  it('matches the golden vectors', () => {
    const file = new URL('../../spec/vectors/transfer.json', import.meta.url)
    const vectors = JSON.parse(readFileSync(file, 'utf8')) as {
      frames: Array<{ name: string; wire: string; event: Record<string, unknown> }>
      refused: Array<{ name: string; wire: string }>
      names: Array<{ offered: string; saved: string }>
      receipts: Array<{ body: string; signature: string; publicKey: string; id: string; valid: boolean }>
    }
    const plain = (event: object): object =>
      Object.fromEntries(
        Object.entries(event).map(([key, value]: [string, unknown]) => [
          key,
          value instanceof Uint8Array ? hex(value) : value,
        ]),
      )
    for (const { name, wire, event } of vectors.frames) {
      assert.deepEqual(decodeAll(Buffer.from(wire, 'hex')).map(plain), [event], name)
    }
    for (const { name, wire } of vectors.refused) {
      assert.throws(() => decodeAll(Buffer.from(wire, 'hex')), protocolBreach, name)
    }
    for (const { offered, saved } of vectors.names) assert.equal(safeFileName(offered), saved)
    for (const { body, signature, publicKey, id, valid } of vectors.receipts) {
      const [bodyBytes, signatureBytes] = [Buffer.from(body, 'hex'), Buffer.from(signature, 'hex')]
      const opened = openReceipt(
        bodyBytes,
        signatureBytes,
        (message, sig, key) => hex(key) === publicKey && checkRaw(key, message, sig),
      )
      assert.equal(opened !== null, valid)
      assert.equal(receiptId(bodyBytes, signatureBytes), id)
    }
  })
})

/** Ed25519 with the purpose prefixed by its length, as the vectors were made; independent of the identity module. */
function checkRaw(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), publicKey])
  return verify(null, message, createPublicKey({ key: der, format: 'der', type: 'spki' }), signature)
}

describe('send window', () => {
  it('answers for every offset it holds with the right bytes and hash', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }), { minLength: 1, maxLength: 12 }),
        fc.nat(1000),
        fc.nat(1000),
        (pieces, ackSeed, offsetSeed) => {
          const window = new SendWindow(4096)
          const whole = Buffer.concat(pieces)
          for (const piece of pieces) window.append(encodeDataFrame(piece))
          const acked = ackSeed % (whole.length + 1)
          window.ack(acked)
          const offset = acked + (offsetSeed % (whole.length - acked + 1))
          assert.ok(window.holds(offset))
          assert.equal(hex(window.prefixSha256(offset)), hex(sha256(whole.subarray(0, offset))))
          const rest: Uint8Array[] = []
          let at = offset
          for (let next = window.frameAt(at); next !== null; next = window.frameAt(at)) {
            rest.push(next.frame.subarray(FRAME_HEADER_BYTES))
            at = next.end
          }
          assert.equal(hex(Buffer.concat(rest)), hex(whole.subarray(offset)))
        },
      ),
    )
  })

  it('is full at its capacity and never beyond', () => {
    const window = new SendWindow(100)
    window.append(encodeDataFrame(new Uint8Array(100)))
    assert.equal(window.room, 0)
    assert.throws(() => window.append(encodeDataFrame(new Uint8Array(1))), RangeError)
    assert.equal(window.ack(100).length, 1)
    assert.equal(window.room, 100)
    assert.throws(() => window.ack(99), RangeError)
    assert.throws(() => window.ack(101), RangeError)
  })
})

describe('transfer state machines', () => {
  it('carry a transfer from offer to receipt', () => {
    const sender = new SenderMachine(10)
    const receiver = new ReceiverMachine({ maxBytes: 100, windowBytes: 10 })
    const data = new Uint8Array(10)
    assert.equal(receiver.receive(sender.offer(offer) as TransferEvent).do, 'decide')
    assert.equal(sender.receive(receiver.accept(4, sha256(data.subarray(0, 4)))).do, 'checkPrefix')
    assert.deepEqual(receiver.receive(sender.begin(4)), { do: 'begin', offset: 4 })
    assert.equal(sender.credit, 10)
    sender.sent(10)
    assert.equal(receiver.receive({ type: 'data', bytes: data.subarray(4) }).do, 'store')
    assert.equal(receiver.receive(sender.end(sha256(data))).do, 'complete')
    const ack = receiver.ack(10)
    assert.ok(ack)
    assert.deepEqual(sender.receive(ack), { do: 'forget', offset: 10 })
    const step = sender.receive(receiver.receipt({ body: data, signature: data }) as TransferEvent)
    assert.equal(step.do, 'checkReceipt')
    assert.deepEqual([sender.state, receiver.state], ['done', 'done'])
  })

  it('hold the sender at its window and cut a sender beyond it', () => {
    const sender = new SenderMachine(10)
    sender.offer({ ...offer, size: null })
    sender.receive({ type: 'accept', offset: 0, sha256: sha256(new Uint8Array()) })
    sender.begin(0)
    sender.sent(10)
    assert.equal(sender.credit, 0)
    assert.throws(() => sender.sent(11), RangeError)

    const receiver = new ReceiverMachine({ maxBytes: 100, windowBytes: 10 })
    receiver.receive({ type: 'offer', ...offer, size: null })
    receiver.accept(0, sha256(new Uint8Array()))
    receiver.receive({ type: 'begin', offset: 0 })
    receiver.receive({ type: 'data', bytes: new Uint8Array(10) })
    assert.throws(() => receiver.receive({ type: 'data', bytes: new Uint8Array(1) }), protocolBreach)
  })

  it('refuse more data than offered, and more than allowed when no size was offered', () => {
    for (const [size, maxBytes] of [
      [5, 100],
      [null, 5],
    ] as const) {
      const receiver = new ReceiverMachine({ maxBytes })
      receiver.receive({ type: 'offer', ...offer, size })
      receiver.accept(0, sha256(new Uint8Array()))
      receiver.receive({ type: 'begin', offset: 0 })
      receiver.receive({ type: 'data', bytes: new Uint8Array(5) })
      assert.throws(() => receiver.receive({ type: 'data', bytes: new Uint8Array(1) }), protocolBreach)
    }
  })

  it('refuse messages out of turn', () => {
    const receipt: TransferEvent = { type: 'receipt', body: new Uint8Array(1), signature: new Uint8Array(64) }
    const begun = new SenderMachine()
    begun.offer(offer)
    begun.receive({ type: 'accept', offset: 0, sha256: new Uint8Array(32) })
    begun.begin(0)
    assert.throws(() => begun.receive(receipt), protocolBreach)
    assert.throws(() => begun.receive({ type: 'ack', offset: 1 }), protocolBreach)
    assert.throws(() => begun.receive({ type: 'data', bytes: new Uint8Array(1) }), protocolBreach)
    const receiver = new ReceiverMachine({ maxBytes: 10 })
    assert.throws(() => receiver.receive({ type: 'data', bytes: new Uint8Array(1) }), protocolBreach)
    assert.throws(() => receiver.receive({ type: 'end', size: 0, sha256: new Uint8Array(32) }), protocolBreach)
    receiver.receive({ type: 'offer', ...offer })
    assert.throws(() => receiver.receive({ type: 'offer', ...offer }), protocolBreach)
    receiver.accept(3, new Uint8Array(32))
    assert.throws(() => receiver.receive({ type: 'begin', offset: 4 }), protocolBreach)
  })
})

describe('receipts', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const rawKey = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(-32))
  const receiver = base58.encode(Uint8Array.from([0x00, 0x24, 0x08, 0x01, 0x12, 0x20, ...rawKey]))
  const facts = {
    transfer: new Uint8Array(16).fill(7),
    sender: '12D3KooWAlice',
    receiver,
    name: 'a',
    size: 3,
    sha256: sha256(Uint8Array.of(1, 2, 3)),
  }
  const body = encodeReceipt(facts, 1_700_000_000_000)
  const signature = new Uint8Array(sign(null, body, privateKey))
  const check = (message: Uint8Array, sig: Uint8Array, key: Uint8Array): boolean => checkRaw(key, message, sig)

  it('verify from the receiver’s peer id alone', () => {
    const opened = openReceipt(body, signature, check)
    assert.ok(opened)
    assert.ok(isReceiptFor(opened, facts))
    assert.deepEqual(nodeKeyOf(receiver), rawKey)
    assert.match(receiptId(body, signature), /^rcp_[0-9a-hjkmnp-tv-z]{16}$/)
  })

  it('fail for any altered byte and for other facts', () => {
    for (let at = 0; at < body.length; at += 1) {
      const altered = Uint8Array.from(body)
      altered[at] = (altered[at] ?? 0) ^ 1
      assert.equal(openReceipt(altered, signature, check), null)
    }
    const opened = openReceipt(body, signature, check)
    assert.ok(opened)
    assert.equal(isReceiptFor(opened, { ...facts, size: 4 }), false)
    assert.equal(isReceiptFor(opened, { ...facts, name: 'b' }), false)
  })

  it('find no key in what is no Ed25519 peer id', () => {
    for (const id of ['', 'x', '0OIl', 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N', '1'.repeat(500)]) {
      assert.equal(nodeKeyOf(id), null)
    }
  })
})

describe('received names', () => {
  const table: ReadonlyArray<readonly [string, string]> = [
    ['report.pdf', 'report.pdf'],
    ['Größe 漢字 🎉.txt', 'Größe 漢字 🎉.txt'],
    ['e\u0301.txt', 'é.txt'],
    ['../../etc/passwd', '__.._etc_passwd'],
    ['/etc/passwd', '_etc_passwd'],
    ['..\\..\\boot.ini', '__.._boot.ini'],
    ['C:\\x', 'C__x'],
    ['.', 'unnamed'],
    ['..', 'unnamed'],
    ['...', 'unnamed'],
    ['', 'unnamed'],
    ['   ', 'unnamed'],
    ['.bashrc', '_bashrc'],
    ['.nzcore-1.part', '_nzcore-1.part'],
    ['\u200b.bashrc', '_bashrc'],
    [' .bashrc', '_bashrc'],
    ['a\0b', 'ab'],
    ['a\r\nb\tc', 'abc'],
    ['\x1b[2Jcls', '[2Jcls'],
    ['\x9b31mred', '31mred'],
    ['photo\u202Egpj.exe', 'photogpj.exe'],
    ['\u2066x\u2069', 'x'],
    ['con', '_con'],
    ['CON.txt', '_CON.txt'],
    ['aux.tar.gz', '_aux.tar.gz'],
    ['nul ', '_nul'],
    ['COM1', '_COM1'],
    ['com¹.x', '_com¹.x'],
    ['LPT9.log', '_LPT9.log'],
    ['CONOUT$', '_CONOUT$'],
    ['console.log', 'console.log'],
    ['com10', 'com10'],
    ['what?.txt', 'what_.txt'],
    ['a:b|c<d>e"f*g', 'a_b_c_d_e_f_g'],
    ['name.', 'name'],
    ['name. . ', 'name'],
    ['\ud800x', '\ufffdx'],
  ]
  for (const [offered, saved] of table) {
    it(`${JSON.stringify(offered)} is saved as ${JSON.stringify(saved)}`, () =>
      assert.equal(safeFileName(offered), saved))
  }

  it('are at most 255 bytes, keep the extension and stay whole characters', () => {
    assert.equal(safeFileName('a'.repeat(255)), 'a'.repeat(255))
    assert.equal(safeFileName('a'.repeat(256)), 'a'.repeat(255))
    const long = safeFileName(`${'漢'.repeat(200)}.tar`)
    assert.ok(Buffer.byteLength(long) <= MAX_FILE_NAME_BYTES && long.endsWith('漢.tar'))
    assert.ok(Buffer.byteLength(numberedFileName(long, 1000)) <= MAX_FILE_NAME_BYTES)
    assert.equal(numberedFileName('report.pdf', 2), 'report (2).pdf')
    assert.equal(numberedFileName('report', 3), 'report (3)')
  })

  it('hold no forbidden character whatever is offered, and are stable', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (offered) => {
        const saved = safeFileName(offered)
        assert.ok(saved.length > 0 && Buffer.byteLength(saved) <= MAX_FILE_NAME_BYTES)
        // oxlint-disable-next-line no-control-regex -- they are what must not be there
        assert.doesNotMatch(saved, /[\u0000-\u001f\u007f-\u009f/\\:*?"<>|\u202a-\u202e\u2066-\u2069]/u)
        assert.doesNotMatch(saved, /^\.|[. ]$/u)
        assert.equal(safeFileName(saved), saved)
      }),
      { numRuns: 1000 },
    )
  })
})
