/** 60,000 messages of 1 KiB between 50 nodes over 150 connections: what many busy peers cost one another. */
import { startMesh, edgeCount } from './mesh.ts'
import { FULL_ROUNDS, SMALL_ROUNDS, withRatios } from './scenario.ts'
import { summaryOf } from './statistics.ts'
import type { Mesh, MeshRound, MeshSize } from './mesh.ts'
import type { Scenario, VariantFailure } from './scenario.ts'
import type { TransportName } from './transports/index.ts'

const SIZES = {
  small: { nodes: 10, processes: 2, messagesPerEdge: 20 },
  full: { nodes: 50, processes: 5, messagesPerEdge: 400 },
} as const satisfies Record<string, MeshSize>

export const mesh: Scenario = {
  name: 'mesh',
  async run({ size, isCompared, signal }) {
    const variants: readonly TransportName[] = isCompared
      ? ['native-streams', 'typescript-streams', 'libp2p', 'libp2p-batched', 'tcp', 'tcp-corked', 'tls-batched']
      : ['native-streams']
    const rounds = size === 'full' ? FULL_ROUNDS : SMALL_ROUNDS
    const { nodes, processes, messagesPerEdge } = SIZES[size]
    const measured = await measure(variants, SIZES[size], rounds, signal)
    const messages = edgeCount(SIZES[size]) * messagesPerEdge
    const rateOf = (ms: number): number => messages / (ms / 1_000)
    return {
      scenario: 'mesh',
      title: `${messages.toLocaleString('en-US')} messages of 1 KiB between ${nodes} nodes in ${processes} processes, ${edgeCount(SIZES[size])} connections`,
      rounds,
      failures: measured.failures,
      figures: withRatios(
        measured.results.map(({ name, rounds: all }) => {
          const ms = summaryOf(all.map((round) => round.ms))
          const cpuMs = summaryOf(all.map((round) => round.cpuMs)).median
          const peakMb = Math.max(...all.map((round) => round.peakMb))
          const [median, min, max] = [rateOf(ms.median), rateOf(ms.max), rateOf(ms.min)]
          return { name, median, min, max, unit: 'messages/s' as const, cost: { cpuMs, peakMb } }
        }),
      ),
    }
  },
}

async function measure(
  variants: readonly TransportName[],
  size: MeshSize,
  rounds: number,
  signal: AbortSignal,
): Promise<{ results: { name: TransportName; rounds: MeshRound[] }[]; failures: VariantFailure[] }> {
  const meshes: { name: TransportName; mesh: Mesh; rounds: MeshRound[] }[] = []
  const failures: VariantFailure[] = []
  const attempt = async (name: TransportName, work: () => Promise<void>): Promise<void> => {
    if (failures.some(({ variant }) => variant === name)) return
    try {
      await work()
    } catch (error) {
      failures.push({ variant: name, why: error instanceof Error ? error.message : String(error) })
    }
  }
  try {
    for (const name of variants)
      await attempt(name, async () => void meshes.push({ name, mesh: await startMesh(name, size), rounds: [] }))
    for (let round = -1; round < rounds; round++) {
      // Another one goes first each time: whoever follows a heavy one may find a warm or a tired machine.
      for (let turn = 0; turn < meshes.length; turn++) {
        signal.throwIfAborted()
        const each = meshes[(turn + round + 1) % meshes.length]
        if (each === undefined) continue
        await attempt(each.name, async () => {
          const measured = await each.mesh.run()
          if (round >= 0) each.rounds.push(measured)
        })
      }
    }
    const isRight = (name: string): boolean => failures.every(({ variant }) => variant !== name)
    return { results: meshes.filter(({ name }) => isRight(name)), failures }
  } finally {
    for (const { mesh: each } of meshes) await each[Symbol.asyncDispose]()
  }
}
