/** Bytes that libp2p's streams hand over are the receiver's for good, whatever memory they come in. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, describe, it } from 'node:test'
import { loadAddon, startEngine } from '../../native/binding.ts'
import { writeAll, whyNoNative } from '../fake/native-libp2p.ts'
import { nativePair } from '../fake/native-pair.ts'
import type { Stream } from '@libp2p/interface'
import type { Engine } from '../../native/binding.ts'

const skip = whyNoNative()
const MIB = 1024 * 1024
/** More than the session has memory to hand over (native/src/slab_pool.h): most of it is copied. */
const TOTAL_BYTES = 24 * MIB
/** Of a length that no slab and no record divides. */
const block = Buffer.from(Uint8Array.from({ length: 1_000_003 }, (_, i) => (i * 31 + (i >> 9)) & 0xff))
const all = Buffer.concat(Array.from({ length: Math.ceil(TOTAL_BYTES / block.byteLength) }, () => block))
const sent = all.subarray(0, TOTAL_BYTES)

function startWith({ isUring, keeps }: { isUring: boolean; keeps: boolean }): Engine {
  const loaded = loadAddon()
  if (!loaded.supported) throw new Error(loaded.reason)
  const addon = keeps ? loaded.addon : { ...loaded.addon, keep: () => undefined }
  const made = startEngine(addon, { mayUseUring: isUring })
  if (!made.started) throw new Error(`errno ${made.errno}`)
  return made.engine
}

/** Every message of the next stream, kept. */
async function receive(listener: EventTarget): Promise<Uint8Array[]> {
  const [{ detail: stream }] = (await once(listener, 'stream')) as [{ detail: Stream }]
  const kept: Uint8Array[] = []
  const whole = Promise.withResolvers<void>()
  let count = 0
  stream.addEventListener('message', ({ data }) => {
    for (const part of data instanceof Uint8Array ? [data] : data) {
      kept.push(part)
      count += part.byteLength
    }
    if (count >= TOTAL_BYTES) whole.resolve()
  })
  await whole.promise
  return kept
}

for (const isUring of [true, false])
  describe(`messages of native streams (${isUring ? 'auto' : 'epoll'})`, { skip, timeout: 120_000 }, () => {
    if (skip !== false) return
    for (const keeps of [true, false])
      it(`stay what they were while more arrives and when the engine is gone, ${keeps ? 'kept' : 'copied'}`, async () => {
        const engine = startWith({ isUring, keeps })
        after(() => engine.stop())
        const pair = await nativePair(engine)
        const rounds: Uint8Array[][] = []
        for (let round = 0; round < 2; round++) {
          const received = receive(pair.listener as unknown as EventTarget)
          await writeAll(await pair.dialler.createStream(), sent, 256 * 1024)
          rounds.push(await received)
        }
        await pair.close(false)
        engine.stop()
        for (const round of rounds) assert.equal(Buffer.compare(Buffer.concat(round), sent), 0)
        // Nobody gets memory that others have parts of.
        const large = rounds.flat().filter(({ byteLength }) => byteLength >= 32 * 1024)
        assert.ok(large.length > 0)
        for (const part of large) assert.equal(part.buffer.byteLength, part.byteLength)
      })
  })
