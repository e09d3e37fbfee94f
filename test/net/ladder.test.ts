/**
 * A connection over the worst cable of the ladder: a quarter of the frames lost, in bursts, and 600 ms there and back. It
 * comes about, carries, and is not given up for being slow. NZ_FULL=1: 600 ms each way, and idle for three minutes.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Ladder } from './ladder.ts'
import { until } from './peer.ts'
import { whyNoLab } from './system.ts'

const why = whyNoLab()
if (why !== null) process.stdout.write(`the impairment ladder is skipped: ${why}\n`)

const isFull = process.env['NZ_FULL'] === '1'
const WORST = { lossPercent: 25, delayMs: isFull ? 600 : 300 }
const TRANSFER_BYTES = 8_192
const IDLE_MS = 180_000

describe('a cable that loses a quarter, in bursts, and delays by 600 ms', why === null ? {} : { skip: why }, () => {
  it('is connected over; bytes come whole; the connection is not cut', { timeout: 400_000 }, async (t) => {
    await using ladder = await Ladder.open()
    const { near, far } = ladder
    await ladder.set(WORST)
    const addresses = await far.addresses()
    const begunMs = performance.now()
    // As the node does with a peer that it keeps: again and again.
    await until(
      async () =>
        await near.connect(far, addresses).then(
          () => true,
          () => false,
        ),
      (isConnected) => isConnected,
      240_000,
    )
    const connectedMs = performance.now()
    const opened = await near.peer(far)
    assert.equal(await near.echo(far, TRANSFER_BYTES), TRANSFER_BYTES)
    const echoedMs = performance.now()
    if (isFull) await new Promise((resolve) => setTimeout(resolve, IDLE_MS))
    const seconds = (fromMs: number, toMs: number): string => `${((toMs - fromMs) / 1_000).toFixed(1)} s`
    t.diagnostic(
      `connected in ${seconds(begunMs, connectedMs)}, ${TRANSFER_BYTES} bytes there and back in ${seconds(connectedMs, echoedMs)}`,
    )
    const still = await near.peer(far)
    assert.deepEqual(
      [still?.state, still?.connectedAtMs],
      ['connected', opened?.connectedAtMs],
      JSON.stringify(await near.attempts(far)),
    )
  })
})
