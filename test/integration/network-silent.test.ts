/**
 * Silent connections keep nobody out: 200 a second for 20 s (NZ_FULL=1: 60 s) from 10 addresses, on both listeners, while honest nodes
 * dial from an address of their own and from one of the flooding ones.
 */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { it } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { startNetworkNode } from '../fake/network-node.ts'
import { stockLibp2p } from '../fake/stock-libp2p.ts'
import type { Socket } from 'node:net'

const FLOOD_MS = process.env['NZ_FULL'] === '1' ? 60_000 : 20_000
const SILENT_PER_SECOND = 200
const HONEST_PER_SECOND = 4
/** Of each honest node; the flood goes on until they are made, however slow the machine is. */
const HONEST_DIALS = 60
const floodingAddresses = Array.from({ length: 10 }, (_, at) => `127.0.${20 + at}.1`)

const wait = async (ms: number): Promise<void> => await new Promise((resolve) => setTimeout(resolve, ms))

it('200 silent connections a second: at least 99 % of honest dials succeed', { timeout: 180_000 }, async (t) => {
  await using node = await startNetworkNode({ config: { limits: { handshakesPerSecondFromLoopback: 10 } } })
  const addresses = node.network.addresses()
  const ports = addresses.map((address) => Number(address.split('/')[4]))
  const honest = await Promise.all(
    ['127.0.77.7', floodingAddresses[0]].map(async (localAddress) =>
      localAddress === undefined ? await stockLibp2p() : await stockLibp2p({ localAddress }),
    ),
  )
  const sockets = new Set<Socket>()
  const begunMs = performance.now()
  const elapsedMs = (): number => performance.now() - begunMs
  let silent = 0
  let floodedMs = 0
  let dialling = honest.length

  async function flood(): Promise<void> {
    while (elapsedMs() < FLOOD_MS || dialling > 0) {
      await wait(5)
      const due = (elapsedMs() / 1_000) * SILENT_PER_SECOND
      for (; silent < due; silent += 1) {
        const port = ports[silent % ports.length] ?? 0
        const socket = connect({ host: '127.0.0.1', port, localAddress: floodingAddresses[silent % 10] ?? '' })
        sockets.add(socket)
        socket.on('error', () => undefined).once('close', () => sockets.delete(socket))
      }
    }
    floodedMs = elapsedMs()
  }

  const took: number[] = []
  let failed = 0
  async function dial(client: (typeof honest)[number], address: string): Promise<void> {
    const startedMs = performance.now()
    try {
      const connection = await client.dial(multiaddr(address), { signal: AbortSignal.timeout(4_000) })
      took.push(performance.now() - startedMs)
      await connection.close()
    } catch (error) {
      failed += 1
      t.diagnostic(`dial failed: ${String(error)}`)
    }
  }
  async function dialOn(client: (typeof honest)[number]): Promise<void> {
    for (let dials = 0; dials < HONEST_DIALS || elapsedMs() < FLOOD_MS; dials += 1) {
      await Promise.all([dial(client, addresses[0] ?? ''), wait(1_000 / HONEST_PER_SECOND)])
    }
    dialling -= 1
  }

  try {
    await Promise.all([flood(), ...honest.map(dialOn)])
    const sorted = took.toSorted((a, b) => a - b)
    const { connectionsRefused, handshakesEvicted } = node.network.counters()
    t.diagnostic(
      `${silent} silent, ${took.length}/${took.length + failed} honest dials succeeded, ` +
        `median ${sorted[sorted.length >> 1]?.toFixed(1)} ms, worst ${sorted.at(-1)?.toFixed(1)} ms, ` +
        `evicted ${handshakesEvicted}, refused ${JSON.stringify(connectionsRefused)}, open ${sockets.size}`,
    )
    assert.ok(silent >= (floodedMs / 1_000) * SILENT_PER_SECOND * 0.98)
    assert.ok(took.length + failed >= honest.length * HONEST_DIALS)
    assert.ok(failed <= (took.length + failed) * 0.01)
    assert.ok(sockets.size <= 1_100, 'silent connections are bounded')
  } finally {
    for (const socket of sockets) socket.destroy()
    await Promise.all(honest.map(async (client) => await client.stop()))
  }
})
