/** A real network module on a machine of the lab, doing as told over the IPC channel. Started by `peer.ts`. */
import { startNetworkNode } from '../fake/network-node.ts'
import { Pour } from './pour.ts'
import type { NetworkNode, NodeConfig } from '../fake/network-node.ts'
import type { PeerAsked, PeerQuestion } from './peer.ts'

const ECHO = '/nz/lab-echo/1'
let node: NetworkNode
let pour: Pour

async function answer(question: PeerQuestion): Promise<unknown> {
  const signal = AbortSignal.timeout(170_000)
  switch (question.ask) {
    case 'start': {
      node = await startNetworkNode({ config: question.config as NodeConfig })
      node.network.handleStreams(
        ECHO,
        async (stream) => {
          for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) await stream.write(bytes)
          await stream.closeWrite()
        },
        { signal: new AbortController().signal },
      )
      pour = new Pour(node.network)
      return node.network.peerId
    }
    case 'addresses':
      return node.network.addresses()
    case 'connect': {
      const begunMs = performance.now()
      await node.network.connect(question.peerId, { addresses: question.addresses, signal })
      return { tookMs: performance.now() - begunMs, peer: node.network.peer(question.peerId) }
    }
    case 'peer':
      return node.network.peer(question.peerId) ?? null
    case 'keep':
      return void node.network.keep(question.peerId, [])
    case 'attempts':
      return node.network.attempts(question.peerId)
    case 'reachability':
      return node.network.reachability()
    case 'live': {
      // Bytes that are in use: what is garbage already is gone. Needs --expose-gc.
      globalThis.gc?.()
      const { heapUsed, external } = process.memoryUsage()
      return heapUsed + external
    }
    case 'disconnect':
      return await node.network.disconnect(question.peerId, { signal })
    case 'listenRaw':
      return await pour.listenRaw()
    case 'connectRaw':
      return await pour.connectRaw(question.host)
    case 'pour':
      return await pour.pour(question.peerId, question.way, question.durationMs)
    case 'arrived':
      return pour.arrived(question.way)
    case 'stop':
      return await node.stop()
    case 'echo': {
      const stream = await node.network.openStream(question.peerId, ECHO, { signal })
      const sent = new Uint8Array(question.byteLength).fill(7)
      let received = 0
      const reading = (async () => {
        for (let bytes = await stream.read({ signal }); bytes !== null; bytes = await stream.read({ signal }))
          received += bytes.length
      })()
      for (let at = 0; at < sent.length; at += 65_536) await stream.write(sent.subarray(at, at + 65_536), { signal })
      await stream.closeWrite({ signal })
      await reading
      return received
    }
  }
}

process.on('message', ({ id, question }: PeerAsked) => {
  answer(question).then(
    (value) => process.send?.({ id, value: value ?? null }),
    (error: unknown) =>
      process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  )
})
process.on('disconnect', () => process.exit(0))
process.send?.({ ready: true })
