/**
 * Goodput on each rung of the ladder, for bench/ladder.bench.ts: one JSON line a measurement on standard output.
 * Arguments: rounds, then rungs such as `25/600` (loss in percent, delay in milliseconds each way).
 */
import { durationOf, Ladder } from './ladder.ts'
import type { Way } from './ladder.ts'

const [rounds = '1', ...rungs] = process.argv.slice(2)
const WAYS: readonly Way[] = ['tcp', 'nzcore']

process.on('disconnect', () => process.exit(0))
const ladder = await Ladder.open()
await ladder.connect()
for (let round = 0; round < Number(rounds); round += 1)
  for (const rung of rungs) {
    const [lossPercent = 0, delayMs = 0] = rung.split('/').map(Number)
    // What was poured before and is still on its way belongs to no rung.
    await ladder.set({ lossPercent: 0, delayMs: 0 })
    await ladder.connectAnew()
    await ladder.set({ lossPercent, delayMs })
    for (const way of round % 2 === 0 ? WAYS : WAYS.toReversed()) {
      const bytesPerSecond = await ladder.goodput(way, durationOf({ lossPercent, delayMs }))
      process.stdout.write(`${JSON.stringify({ rung, way, round, bytesPerSecond })}\n`)
    }
  }
// An exit waits for nothing: the network is taken down before it.
await ladder[Symbol.asyncDispose]()
process.exit(0)
