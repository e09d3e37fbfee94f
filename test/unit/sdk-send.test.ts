/** What the SDK sends, against a node that the test plays itself. */
import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { duplexPair } from '../../protocols/ipc/framed-duplex.ts'
import { sendOver } from '../../sdk/transfers.ts'
import type { FramedDuplex } from '../../protocols/ipc/framed-duplex.ts'
import type { NzClient } from '../../sdk/client.ts'

const target = { peer: 'desk', name: 'notes' }

function playedNode(): { readonly api: NzClient; readonly theirs: FramedDuplex } {
  const [ours, theirs] = duplexPair()
  const played: Pick<NzClient, 'transfersSend'> = { transfersSend: async () => await Promise.resolve(ours) }
  return { api: played as NzClient, theirs }
}

describe('sending from a source', () => {
  const unhandled: unknown[] = []
  const note = (error: unknown): void => void unhandled.push(error)
  beforeEach(() => {
    unhandled.length = 0
    process.on('unhandledRejection', note)
  })
  afterEach(() => void process.off('unhandledRejection', note))

  const settled = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) await new Promise((done) => setImmediate(done))
  }

  it('throws what the source threw, once, and cancels the transfer', async () => {
    for (const size of [0, 10, 600_000]) {
      const { api, theirs } = playedNode()
      const broken = async function* (): AsyncGenerator<Uint8Array> {
        if (size > 0) yield new Uint8Array(size)
        await Promise.resolve()
        throw new RangeError('the source broke')
      }
      const sending = assert.rejects(sendOver(api, target, broken(), {}), RangeError)
      const received = (async () => {
        while ((await theirs.read()) !== null) continue
      })()
      await assert.rejects(received, { code: 'NZ_INTERNAL' })
      await sending
      await settled()
      assert.deepEqual(unhandled, [])
    }
  })

  it('does not wait for a source that gives nothing when the transfer has failed', async () => {
    const { api, theirs } = playedNode()
    const silent = async function* (): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(1)
      await new Promise(() => undefined)
    }
    const sending = sendOver(api, target, silent(), {})
    await theirs.read()
    theirs.fail(new DOMException('cancelled', 'AbortError'))
    await assert.rejects(sending)
    await settled()
    assert.deepEqual(unhandled, [])
  })

  it('gives the last state that the node told', async () => {
    const { api, theirs } = playedNode()
    const sending = sendOver(api, target, Uint8Array.of(1, 2, 3), {})
    assert.deepEqual(await theirs.read(), { bytes: Uint8Array.of(1, 2, 3) })
    assert.equal(await theirs.read(), null)
    for (const id of ['first', 'last']) await theirs.send({ transfer: { id } })
    await theirs.end()
    assert.deepEqual(await sending, { id: 'last' })
  })
})
