/**
 * spec/vectors/eventlog.json against the code: the vectors of NZ-LOG-01.
 * `NZ_WRITE_VECTORS=1 node --test test/unit/eventlog-vectors.test.ts` writes them anew.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { it } from 'node:test'
import { LogKeys } from '../../modules/eventlog/keys.ts'
import { decodeEntry, encodeEntry, entryHash, genesisHash, hexOf } from '../../protocols/eventlog/entry.ts'
import { encodeFrame, encodeStatement, framePlace, headPlace } from '../../protocols/eventlog/frame.ts'
import { sealWith, unsealWith } from '../../protocols/sealed/sealed.ts'
import { fromHex, specVectors, toHex } from '../vectors.ts'
import type { EntryKind } from '../../protocols/eventlog/entry.ts'
import type { FrameType } from '../../protocols/eventlog/frame.ts'
import type { KeyOf } from '../../protocols/sealed/sealed.ts'

const ROOT = Uint8Array.from({ length: 32 }, (_, at) => at)
const SALT = new Uint8Array(16).fill(0x5a)
const UID = new Uint8Array(16).fill(0xc3)
const NAME = 'audit'
const keys = new LogKeys(ROOT)
const logId = keys.logId(NAME)

const keyOf =
  (purpose: 'segment' | 'head'): KeyOf =>
  ({ generation, salt }) =>
    keys.sealing(purpose, generation, salt)

function frameOf(type: FrameType, counter: number, plaintext: Uint8Array): string {
  const header = { generation: 1, salt: SALT, counter }
  const place = framePlace(type, logId, 1)
  return toHex(encodeFrame(type, sealWith(keyOf('segment'), header, { place, plaintext })))
}

function computed() {
  const genesis = genesisHash(NAME, UID)
  const first = { segment: 1, sequence: 1, previous: hexOf(genesis) }
  const start = { name: NAME, uid: hexOf(UID), segment: 1, first: 1, previous: hexOf(genesis), atMs: 1_700_000_000_000 }
  const said: readonly (readonly [EntryKind, string])[] = [
    ['statement', '{"recording":"started","names":null}'],
    ['event', '{"id":1,"atMs":1700000000001,"name":"kernel.started","payload":{}}'],
    ['entry', 'door opened'],
  ]
  let previous = genesis
  const entries = said.map(([kind, payload], at) => {
    const entry = { kind, sequence: at + 1, atMs: 1_700_000_000_001 + at, previous, payload: Buffer.from(payload) }
    const plaintext = encodeEntry(entry)
    previous = entryHash(plaintext)
    const { sequence, atMs } = entry
    const hash = hexOf(previous)
    return {
      kind,
      sequence,
      atMs,
      payload,
      plaintext: toHex(plaintext),
      hash,
      frame: frameOf('entry', at + 1, plaintext),
    }
  })
  const gap = { from: 4, to: 9, previous: '11'.repeat(32) }
  const tail = { sequence: 3, hash: hexOf(previous), segment: 1, end: 1_234 }
  const head = encodeStatement({ name: NAME, uid: hexOf(UID), writes: 7, ...tail, first })
  const header = { generation: 1, salt: SALT, counter: 5 }
  return {
    comment: 'NZ-LOG-01; bytes in hex, payloads and statements as text. All are sealed under one salt.',
    root: toHex(ROOT),
    salt: toHex(SALT),
    name: NAME,
    uid: toHex(UID),
    logId: toHex(logId),
    genesis: toHex(genesis),
    start: { plaintext: text(encodeStatement(start)), frame: frameOf('start', 0, encodeStatement(start)) },
    entries,
    gap: { plaintext: text(encodeStatement(gap)), frame: frameOf('gap', 4, encodeStatement(gap)) },
    head: {
      plaintext: text(head),
      sealed: toHex(sealWith(keyOf('head'), header, { place: headPlace(logId), plaintext: head })),
    },
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString()
}

it('agrees with the published vectors', () => {
  const file = resolve(import.meta.dirname, '..', '..', join('spec', 'vectors', 'eventlog.json'))
  if (process.env['NZ_WRITE_VECTORS'] === '1') writeFileSync(file, `${JSON.stringify(computed(), null, 2)}\n`)
  assert.deepEqual(specVectors('eventlog.json'), computed())
})

it('opens what the vectors seal, in its own segment only', () => {
  for (const { frame, plaintext } of computed().entries) {
    const sealed = fromHex(frame).subarray(5)
    const opened = unsealWith(keyOf('segment'), sealed, framePlace('entry', logId, 1))
    assert.equal(toHex(opened?.plaintext ?? new Uint8Array()), plaintext)
    assert.notEqual(decodeEntry(opened?.plaintext ?? new Uint8Array()), null)
    for (const other of [framePlace('entry', logId, 2), framePlace('gap', logId, 1), headPlace(logId)]) {
      assert.equal(unsealWith(keyOf('segment'), sealed, other), null)
    }
  }
})
