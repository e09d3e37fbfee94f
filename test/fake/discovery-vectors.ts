/** What spec/vectors/discovery.json holds, made by the code. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { IdentityKeys } from '../../modules/identity/keys.ts'
import { verifyFor } from '../../protocols/identity/signature.ts'
import { encodeCanonical } from '../../protocols/framing/canonical-cbor.ts'
import { bytesOfPlace, commonBits, compareDistance, placeOf } from '../../protocols/discovery/distance.ts'
import { recordCodes } from '../../protocols/discovery/errors.ts'
import { createIntroduction, readIntroduction } from '../../protocols/discovery/introduction.ts'
import { decodeLan, encodeAnswer, encodeQuestion } from '../../protocols/discovery/lan.ts'
import { MAX_RECORD_BYTES } from '../../protocols/discovery/limits.ts'
import {
  decodeFind,
  decodeFound,
  decodeStore,
  decodeStored,
  encodeFind,
  encodeFound,
  encodeStore,
  encodeStored,
} from '../../protocols/discovery/messages.ts'
import { createRecord, keysOf, readRecord, RECORD_PURPOSE, slotOf } from '../../protocols/discovery/record.ts'
import { RecordStore } from '../../protocols/discovery/record-store.ts'
import { toHex } from '../vectors.ts'
import type { Place } from '../../protocols/discovery/distance.ts'
import type { IntroducedPeer, IntroductionBody } from '../../protocols/discovery/introduction.ts'
import type { Content, RecordBody } from '../../protocols/discovery/record.ts'

export const NOW_MS = 1_800_000_000_000

export interface Vectors {
  readonly nowMs: number
  readonly records: ReadonlyArray<{
    readonly name: string
    readonly signer: string
    readonly sequence: number
    readonly ttlS: number
    readonly kind: string
    readonly keys: readonly string[]
    readonly slot: string
    readonly hex: string
  }>
  readonly refused: ReadonlyArray<{ readonly name: string; readonly code: string; readonly hex: string }>
  readonly messages: ReadonlyArray<Message>
  /** Messages that are none, by the kind they would be. */
  readonly noMessages: ReadonlyArray<{ readonly name: string; readonly kind: Message['kind']; readonly hex: string }>
  /** Whether `a` is nearer to the target than `b`, and how many leading bits each shares with it. */
  readonly distances: ReadonlyArray<{
    readonly target: string
    readonly a: string
    readonly b: string
    readonly isNearer: boolean
    readonly bits: readonly [number, number]
  }>
  /** What one node answers to what is stored at it, in this order, at `nowMs`. */
  readonly kept: ReadonlyArray<{
    readonly name: string
    readonly key: string
    readonly hex: string
    readonly code: number
  }>
  readonly introductions: ReadonlyArray<{
    readonly name: string
    readonly id: string | null
    readonly introducer: string | null
    readonly peers: readonly IntroducedPeer[] | null
    readonly hex: string
  }>
  /** Datagrams, and the bytes they carry as records. */
  readonly lan: ReadonlyArray<{
    readonly name: string
    readonly kind: string
    readonly records: readonly string[]
    readonly hex: string
  }>
}

interface Message {
  readonly name: string
  readonly kind: 'find' | 'found' | 'store' | 'stored'
  /** As §5 names them; bytes in hexadecimal. */
  readonly says: object
  readonly hex: string
}

const decoders = { find: decodeFind, found: decodeFound, store: decodeStore, stored: decodeStored }

const keys = await IdentityKeys.derive(new Uint8Array(32).fill(7), ['A', 'B', 'C', 'D'])
export const signer = toHex(keys.self.nodePublicKey)
export const contents: Readonly<Record<string, Content>> = {
  peer: { kind: 'peer', addresses: ['/ip4/203.0.113.4/tcp/4001', '/dns4/node.example/tcp/4002/ws'] },
  'peer without an address': { kind: 'peer', addresses: [] },
  service: {
    kind: 'service',
    name: 'printer',
    version: '1.2.0-rc.1',
    health: 'degraded',
    capabilities: ['colour', 'pdf'],
  },
  withdrawn: { kind: 'withdrawn', name: 'printer', capabilities: ['colour', 'pdf'] },
  value: { kind: 'value', name: 'motd', value: new TextEncoder().encode('hello') },
}
const sign: Parameters<typeof createRecord>[1] = (purpose, message) => keys.signAsNode(purpose, message)
export const read = (bytes: Uint8Array) => readRecord(bytes, { verify: verifyFor, nowMs: NOW_MS })
const codeOf = (bytes: Uint8Array): string => {
  const refused = read(bytes)
  return typeof refused === 'string' ? refused : 'taken'
}
const body = (changes: Partial<RecordBody> = {}): RecordBody => ({
  signer,
  sequence: NOW_MS - 1_000,
  ttlS: 300,
  content: contents['service'] as Content,
  ...changes,
})

export function build(): Vectors {
  const records = Object.entries(contents).map(([name, content]) => {
    const record = createRecord(body({ content }), sign)
    const { sequence, ttlS } = record
    return {
      name,
      signer,
      sequence,
      ttlS,
      kind: content.kind,
      keys: keysOf(record).map(toHex),
      slot: slotOf(record),
      hex: toHex(record.bytes),
    }
  })
  const whole = createRecord(body(), sign).bytes
  const raw = (items: unknown, purpose: string = RECORD_PURPOSE): Uint8Array => {
    const encoded = encodeCanonical(items)
    return encodeCanonical([purpose, encoded, sign(RECORD_PURPOSE, encoded)])
  }
  const items = [1, keys.self.nodePublicKey, NOW_MS - 1_000, 300, [1, 'printer', '1', 1, ['pdf']]]
  const refused: Array<readonly [string, Uint8Array]> = [
    ['signature altered', Uint8Array.from(whole, (byte, at) => (at === whole.length - 1 ? byte ^ 1 : byte))],
    ['over', createRecord(body({ sequence: NOW_MS - 300_000 }), sign).bytes],
    ['from the future', createRecord(body({ sequence: NOW_MS + 300_001 }), sign).bytes],
    ['another version', raw([2, ...items.slice(1)])],
    ['a version below zero', raw([-1, ...items.slice(1)])],
    ['another purpose', raw(items, 'nzcore/other/1')],
    ['capabilities out of order', raw([...items.slice(0, 4), [1, 'printer', '1', 1, ['pdf', 'colour']]])],
    ['letters that are not allowed', raw([...items.slice(0, 4), [1, 'Printer', '1', 1, []]])],
    ['an address with a space', raw([...items.slice(0, 4), [0, ['/ip4/192.0.2.1/tcp/1 ']]])],
    ['nine addresses', raw([...items.slice(0, 4), [0, Array.from({ length: 9 }, () => '/ip4/192.0.2.1/tcp/1')]])],
    ['a name of 65 letters', raw([...items.slice(0, 4), [2, 'a'.repeat(65), []]])],
    ['a capability twice', raw([...items.slice(0, 4), [2, 'printer', ['pdf', 'pdf']]])],
    ['a kind that is none', raw([...items.slice(0, 4), [4, 'printer', []]])],
    ['an address of no kind', raw([...items.slice(0, 4), [0, ['/unix/tmp/x']]])],
    ['a time to live of a month', raw([...items.slice(0, 3), 2_592_000, items[4]])],
    ['a value of 1,025 bytes', raw([...items.slice(0, 4), [3, 'motd', new Uint8Array(1_025)]])],
    ['more than 2,048 bytes', new Uint8Array(MAX_RECORD_BYTES + 1)],
    ['one byte more', Buffer.concat([whole, Uint8Array.of(0)])],
    ['cut short', whole.subarray(0, -1)],
  ]
  const own = createRecord(body({ content: contents['peer'] as Content }), sign).bytes
  const target = keysOf(body())[0] as Uint8Array
  return {
    nowMs: NOW_MS,
    records,
    refused: refused.map(([name, bytes]) => ({ name, code: codeOf(bytes), hex: toHex(bytes) })),
    messages: messagesOf(target, whole, own),
    noMessages: noMessagesOf(target, whole),
    distances: distancesOf(),
    kept: keptOf(),
    introductions: introductionsOf(),
    lan: lanOf(own),
  }
}

function messagesOf(target: Uint8Array, whole: Uint8Array, own: Uint8Array): Message[] {
  const messages = [
    ['find', 'find', encodeFind({ target, wantsRecords: true, wantsOwn: true, own })],
    ['find without a record', 'find', encodeFind({ target, wantsRecords: false, wantsOwn: false, own: null })],
    ['found', 'found', encodeFound({ records: [whole], closer: [own], own: null })],
    ['found with everything', 'found', encodeFound({ records: [whole, own], closer: [own, own], own })],
    ['store', 'store', encodeStore([{ key: target, record: whole }])],
    ['stored', 'stored', encodeStored([null, 'NZ_DISCOVERY_STALE'])],
  ] as const
  return messages.map(([name, kind, bytes]) => {
    const says = JSON.stringify({ says: decoders[kind](bytes) }, (_, value: unknown) =>
      value instanceof Uint8Array ? toHex(value) : value,
    )
    return { name, kind, ...(JSON.parse(says) as { readonly says: object }), hex: toHex(bytes) }
  })
}

function noMessagesOf(target: Uint8Array, record: Uint8Array): Vectors['noMessages'] {
  const none = new Uint8Array()
  const many = (count: number): Uint8Array[] => Array.from({ length: count }, () => Uint8Array.of(1))
  const raw: ReadonlyArray<readonly [string, Message['kind'], unknown]> = [
    ['another version', 'find', [2, target, 0, none]],
    ['a target of 31 bytes', 'find', [1, target.subarray(1), 0, none]],
    ['a flag that is none', 'find', [1, target, 4, none]],
    ['own of 2,049 bytes', 'find', [1, target, 0, new Uint8Array(2_049)]],
    ['without own', 'find', [1, target, 0]],
    ['65 records', 'found', [1, many(65), [], none]],
    ['21 nodes', 'found', [1, [], many(21), none]],
    ['a record of no bytes', 'found', [1, [none], [], none]],
    ['a record of 2,050 bytes', 'found', [1, [new Uint8Array(2_050)], [], none]],
    ['nothing to store', 'store', [1, []]],
    ['17 to store', 'store', [1, many(17).map(() => [target, record.subarray(0, 1)])]],
    ['a key of 33 bytes', 'store', [1, [[Buffer.concat([target, target.subarray(0, 1)]), record]]]],
    ['no code', 'stored', [1, []]],
    ['17 codes', 'stored', [1, Array.from({ length: 17 }, () => 0)]],
    ['code 256', 'stored', [1, [256]]],
  ]
  return raw.map(([name, kind, items]) => {
    const bytes = encodeCanonical(items)
    assert.equal(decoders[kind](bytes), null, name)
    return { name, kind, hex: toHex(bytes) }
  })
}

function distancesOf(): Vectors['distances'] {
  const place = (name: string): Place => placeOf(createHash('sha256').update(name).digest())
  const flipped = (from: Place, bit: number): Place =>
    from.map((word, at) => (at === bit >> 5 ? (word ^ (1 << (31 - (bit & 31)))) >>> 0 : word))
  const target = place('target')
  const pairs = [
    [place('a'), place('b')],
    [place('b'), place('a')],
    [flipped(target, 255), flipped(target, 254)],
    [flipped(target, 31), flipped(target, 32)],
    [target, flipped(target, 200)],
  ] as const
  return pairs.map(([a, b]) => ({
    target: toHex(bytesOfPlace(target)),
    a: toHex(bytesOfPlace(a)),
    b: toHex(bytesOfPlace(b)),
    isNearer: compareDistance(target, a, b) < 0,
    bits: [commonBits(target, a), commonBits(target, b)],
  }))
}

/** One store; what comes later meets what it holds by then. */
function keptOf(): Vectors['kept'] {
  const store = new RecordStore(placeOf(new Uint8Array(32)))
  const offer = (changes: Partial<RecordBody> = {}): Uint8Array => createRecord(body(changes), sign).bytes
  const withdrawn = contents['withdrawn'] as Content
  const [service, colour, pdf] = keysOf(body()) as readonly [Uint8Array, Uint8Array, Uint8Array]
  const value = body({ content: contents['value'] as Content })
  const puts: ReadonlyArray<readonly [string, Uint8Array, Uint8Array]> = [
    ['an offer under its name', service, offer()],
    ['again', service, offer()],
    ['under a capability', colour, offer()],
    ['under the other one', pdf, offer()],
    ['an older one', service, offer({ sequence: NOW_MS - 2_000 })],
    ['a newer one', service, offer({ sequence: NOW_MS })],
    ['withdrawn', service, offer({ sequence: NOW_MS + 1, content: withdrawn })],
    ['the offer from before', service, offer({ sequence: NOW_MS })],
    ['a value under a service', service, createRecord(value, sign).bytes],
    ['a value', keysOf(value)[0] as Uint8Array, createRecord(value, sign).bytes],
    ['over, and under a wrong key', pdf, createRecord({ ...value, sequence: NOW_MS - 300_000 }, sign).bytes],
    ['forged, and over', service, Buffer.concat([offer({ sequence: 1 }).subarray(0, -1), Uint8Array.of(0)])],
    ['no record', service, Uint8Array.of(0)],
    ['too large', service, new Uint8Array(MAX_RECORD_BYTES + 1)],
  ]
  return puts.map(([name, key, bytes]) => {
    const record = read(bytes)
    const code =
      typeof record === 'string' ? record : store.put(key, record, { peerId: 'bringer', range: null }, NOW_MS)
    return { name, key: toHex(key), hex: toHex(bytes), code: recordCodes.indexOf(code) }
  })
}

function introductionsOf(): Vectors['introductions'] {
  const peer = (byte: number, name: string, addresses: readonly string[] = []): IntroducedPeer => ({
    key: toHex(new Uint8Array(32).fill(byte)),
    name,
    addresses,
  })
  const [desk, rack] = [peer(1, 'desk', ['/ip4/203.0.113.4/tcp/4001']), peer(2, 'Räck 7')]
  const introduce = (changes: Partial<IntroductionBody> = {}, by = sign): Uint8Array =>
    createIntroduction(
      { introducer: signer, peers: [desk, rack], issuedMs: NOW_MS, ttlS: 3_600, ...changes },
      by as unknown as Parameters<typeof createIntroduction>[1],
    ).bytes
  const whole = introduce()
  const all: ReadonlyArray<readonly [string, Uint8Array]> = [
    ['two peers', whole],
    ['over', introduce({ issuedMs: NOW_MS - 3_600_000 })],
    ['from the future', introduce({ issuedMs: NOW_MS + 300_001 })],
    ['a peer to itself', introduce({ peers: [desk, { ...rack, key: desk.key }] })],
    ['the introducer itself', introduce({ peers: [desk, { ...rack, key: signer }] })],
    ['a name of 33 letters', introduce({ peers: [desk, { ...rack, name: 'a'.repeat(33) }] })],
    ['a name like an id', introduce({ peers: [desk, { ...rack, name: 'nz1abc' }] })],
    ['a name with a control character', introduce({ peers: [desk, { ...rack, name: 'ra\u001bck' }] })],
    ['an address with a space', introduce({ peers: [desk, { ...rack, addresses: ['/ip4/192.0.2.1/tcp/1 '] }] })],
    ['a time to live of no seconds', introduce({ ttlS: 0 })],
    ['signature altered', Uint8Array.from(whole, (byte, at) => (at === whole.length - 1 ? byte ^ 1 : byte))],
    ['one byte more', Buffer.concat([whole, Uint8Array.of(0)])],
  ]
  return all.map(([name, bytes]) => {
    const found = readIntroduction(bytes, { verify: verifyFor, nowMs: NOW_MS })
    const told = found === null ? null : { id: found.id, introducer: found.introducer, peers: found.peers }
    return { name, ...(told ?? { id: null, introducer: null, peers: null }), hex: toHex(bytes) }
  })
}

function lanOf(record: Uint8Array): Vectors['lan'] {
  const [question, answer] = [encodeQuestion(), encodeAnswer(signer.slice(0, 20), record)]
  const changed = (bytes: Uint8Array, at: number, value: number): Uint8Array =>
    Uint8Array.from(bytes, (byte, index) => (index === at ? value : byte))
  const nameEnd = 12 + 1 + 20 + 1 + '_nzcore'.length + 1 + '_udp'.length + 1 + 'local'.length + 1
  const all: ReadonlyArray<readonly [string, Uint8Array]> = [
    ['a question', question],
    ['an answer', answer],
    ['a long record', encodeAnswer('a', new Uint8Array(600).fill(9))],
    ['a record of more than 2,048 bytes', encodeAnswer('a', new Uint8Array(2_049))],
    ['a question for another service', changed(question, 14, 'x'.charCodeAt(0))],
    ['an answer of another type', changed(answer, nameEnd + 1, 12)],
    ['upper-case letters', changed(question, 14, 'N'.charCodeAt(0))],
    ['65 answers said', changed(answer, 7, 65)],
    ['two answers said, one there', changed(answer, 7, 2)],
    ['cut short', answer.subarray(0, -1)],
    ['a header alone', question.subarray(0, 12)],
  ]
  return all.map(([name, bytes]) => {
    const message = decodeLan(bytes)
    const records = message.kind === 'answer' ? message.records.map(toHex) : []
    return { name, kind: message.kind, records, hex: toHex(bytes) }
  })
}
