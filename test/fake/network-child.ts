/** A node as a process: `network-child.ts <network.native>` says where it is, echoes what `/echo/1` sends, and stays. */
import { startNetworkNode } from './network-node.ts'
import type { NetworkConfig } from '../../modules/network/config.ts'

const { network } = await startNetworkNode({
  config: { native: (process.argv[2] ?? 'auto') as NetworkConfig['native'], listen: ['/ip4/127.0.0.1/tcp/0'] },
})
network.handleStreams(
  '/echo/1',
  async (stream) => {
    for (let chunk = await stream.read(); chunk !== null; chunk = await stream.read()) await stream.write(chunk)
    await stream.close()
  },
  { signal: new AbortController().signal },
)
process.stdout.write(`${JSON.stringify({ peerId: network.peerId, addresses: network.addresses() })}\n`)
