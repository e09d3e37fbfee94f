/**
 * Messages of 1 KiB over three hops. `routing`: packets through four routers in memory, all on one thread, as they are and
 * with a signature of every node that sends them on. `routed-stream`: a stream over a route through nodes on loopback,
 * against one between two of them that are connected.
 */
import { measureInTurn } from './interleaved.ts'
import { messagesOf, send } from './work.ts'
import { startNodeLine } from './node-line.ts'
import { HOPS, PacketLine } from './packet-line.ts'
import { FULL_ROUNDS, SMALL_ROUNDS, timedRates } from './scenario.ts'
import type { NodeLine } from './node-line.ts'
import type { Variant } from './interleaved.ts'
import type { Scenario, ScenarioOptions, ScenarioResult } from './scenario.ts'
import type { Work } from './work.ts'

const MESSAGE_BYTES = 1_024
const PACKETS = { small: 100, full: 4_000 } as const
const STREAMED = { small: 200, full: 20_000 } as const
/** For one round on a loaded machine. */
const ROUND_MS = 60_000

export const routing: Scenario = {
  name: 'routing',
  async run(options) {
    const work = workOf(PACKETS[options.size])
    const messages = messagesOf(work)
    const line = new PacketLine()
    const carry = async (isSigned: boolean): Promise<void> =>
      await Promise.resolve(line.carry(messages, { size: MESSAGE_BYTES, isSigned }))
    const variants: readonly Variant[] = [
      { name: 'signed once a path', run: async () => await carry(false) },
      { name: 'signed once a packet and hop', run: async () => await carry(true) },
    ]
    return await measured('routing', `packets of 1 KiB over ${HOPS} hops in memory`, { variants, work, options })
  },
}

export const routedStream: Scenario = {
  name: 'routed-stream',
  async run(options) {
    const work = workOf(STREAMED[options.size])
    const messages = messagesOf(work)
    const line = await startNodeLine(options.signal)
    try {
      const variants: readonly Variant[] = [
        { name: `over ${HOPS} hops`, run: async () => await overStream(line, HOPS, { work, messages }) },
        { name: 'between connected nodes', run: async () => await overStream(line, 1, { work, messages }) },
      ]
      return await measured('routed-stream', 'messages of 1 KiB on a stream', { variants, work, options })
    } finally {
      await line.close()
    }
  },
}

/** @throws when the last node has not said in time that all came */
async function overStream(
  line: NodeLine,
  hops: number,
  { work, messages }: { readonly work: Work; readonly messages: readonly Uint8Array[] },
): Promise<void> {
  const pipe = await line.open(hops)
  const { promise: tooLate, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`no answer within ${ROUND_MS} ms`)), ROUND_MS)
  try {
    await Promise.race([send(pipe, work, messages), tooLate])
  } finally {
    clearTimeout(timer)
    await pipe.close()
  }
}

async function measured(
  scenario: string,
  what: string,
  {
    variants,
    work,
    options,
  }: { readonly variants: readonly Variant[]; readonly work: Work; readonly options: ScenarioOptions },
): Promise<ScenarioResult> {
  const { size, isCompared, signal } = options
  const rounds = size === 'full' ? FULL_ROUNDS : SMALL_ROUNDS
  const times = await measureInTurn(isCompared ? variants : variants.slice(0, 1), { rounds, signal })
  return {
    scenario,
    title: `${work.count} ${what}`,
    rounds,
    figures: timedRates(times, work.count, 'messages/s'),
  }
}

function workOf(count: number): Work {
  return { kind: 'send', count, size: MESSAGE_BYTES }
}
